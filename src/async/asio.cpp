// The one compilation of Asio (ASIO_SEPARATE_COMPILATION): every other file only declares it.
#include <asio/impl/src.hpp>
