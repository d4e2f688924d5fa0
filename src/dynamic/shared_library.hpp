/// Shared libraries that are loaded when they are first needed, and not at each start of the program.
#pragma once

#include <cstddef>
#include <span>

namespace asyncvm {

/// A library that dlopen() finds by its file name, like `libunicorn.so.2`. It stays loaded for the life of the process: what
/// came from it may be anywhere.
class SharedLibrary {
public:
    /// When its functions are looked for: `now` is for one that may lack some.
    enum class Binding { lazy, now };

    /// With a slash in it `file` is a path. Throws Error(host) with the dynamic linker's words.
    explicit SharedLibrary(const char* file, Binding binding = Binding::lazy);

    /// Sets `function` to the library's function of that name. Throws Error(host).
    template <typename Function>
    void find(const char* name, Function*& function) const {
        function = reinterpret_cast<Function*>(symbol(name));
    }

    struct Import {
        const char* name;   ///< of a function that the library calls and another library has
        void* replacement;  ///< is called instead, with the same arguments
    };

    /// From now on the library's own calls of these functions lead to the replacements; those of everything else in the
    /// process do not. Returns how many of `imports` the library calls. No other thread may be in the library.
    std::size_t replace_imports(std::span<const Import> imports) const;

private:
    [[nodiscard]] void* symbol(const char* name) const;

    void* handle_;
};

}  // namespace asyncvm
