/// Shared libraries that are loaded when they are first needed, and not at each start of the program.
#pragma once

namespace asyncvm {

/// A library that dlopen() finds by its file name, like `libunicorn.so.2`. It stays loaded for the life of the process: what
/// came from it may be anywhere.
class SharedLibrary {
public:
    /// Throws Error(host) with the dynamic linker's words.
    explicit SharedLibrary(const char* file);

    /// Sets `function` to the library's function of that name. Throws Error(host).
    template <typename Function>
    void find(const char* name, Function*& function) const {
        function = reinterpret_cast<Function*>(symbol(name));
    }

private:
    [[nodiscard]] void* symbol(const char* name) const;

    void* handle_;
};

}  // namespace asyncvm
