/// The language that the headers are written in: said here, because a compiler with another one says it in a thousand lines.
#pragma once

#if __cplusplus < 202002L
#error "asyncvm needs C++20: compile with -std=c++20 or later"
#endif
