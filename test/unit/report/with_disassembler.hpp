/// For tests that are about disassembled text: skipped where there is no disassembler.
#pragma once

#include "report/disassembler.hpp"

#include <boost/test/unit_test.hpp>

namespace asyncvm::test {

inline boost::test_tools::assertion_result with_disassembler(boost::unit_test::test_unit_id) { return can_disassemble(); }

}  // namespace asyncvm::test
