# Writes kernels/codes/all.hpp, which includes the file of every packed format, into the folder ZP_GENERATED.
# formats.def is the list: packed formats are those with blocks, and the file of "Q8_0" is q8_0.hpp.
# Also a script: cmake -DZP_NATIVE=native -DZP_GENERATED=folder -P native/kernels/codes/includes.cmake
file(STRINGS ${ZP_NATIVE}/formats/formats.def ZP_FORMATS REGEX "^ZP_FORMAT\\(")
set(ZP_INCLUDES "// Every packed format of formats.def; written by kernels/codes/includes.cmake.\n#pragma once\n\n")
foreach(ZP_LINE IN LISTS ZP_FORMATS)
  if(NOT ZP_LINE MATCHES "\"([A-Z0-9_]+)\", [0-9]+, ([0-9]+), [0-9]+\\)")
    message(FATAL_ERROR "formats.def: expected ZP_FORMAT(kName, \"NAME\", id, weights, bytes), not ${ZP_LINE}")
  endif()
  set(ZP_NAME ${CMAKE_MATCH_1})
  if(CMAKE_MATCH_2 GREATER 1)
    string(TOLOWER ${ZP_NAME} ZP_NAME)
    string(APPEND ZP_INCLUDES "#include \"kernels/codes/${ZP_NAME}.hpp\"\n")
  endif()
endforeach()
file(CONFIGURE OUTPUT ${ZP_GENERATED}/kernels/codes/all.hpp CONTENT "${ZP_INCLUDES}" @ONLY)
