# One translation unit per weight format and instruction set, so that editing codes/q4_k.hpp recompiles only
# the units of Q4_K. Reads the formats from formats.def; the codec of "Q8_0" is kernels/codes/q8_0.hpp.
#
#   zp_kernel_units(VARIABLE packing)  lists the sources that pack and unpack each format
#   zp_kernel_units(VARIABLE avx2)     lists the sources that multiply with each format, for kernels/avx2
#
# Also a script: cmake -DZP_NATIVE=native -DZP_GENERATED=FOLDER -DZP_UNITS=scalar -P kernel_units.cmake
# Sources are rewritten only if their text changes.
function(zp_kernel_units VARIABLE ZP_SET)
  set(TEMPLATE ${ZP_NATIVE}/kernels/matmul_unit.cpp.in)
  if(ZP_SET STREQUAL "packing")
    set(TEMPLATE ${ZP_NATIVE}/kernels/packing_unit.cpp.in)
  endif()
  file(STRINGS ${ZP_NATIVE}/formats/formats.def LINES REGEX "^ZP_FORMAT\\(")
  foreach(LINE IN LISTS LINES)
    if(NOT LINE MATCHES "^ZP_FORMAT\\((k[A-Za-z0-9_]+), \"([A-Z0-9_]+)\", [0-9]+, ([0-9]+), [0-9]+\\)")
      message(FATAL_ERROR
        "formats.def: expected ZP_FORMAT(kName, \"NAME\", id, weights, bytes), not ${LINE}")
    endif()
    set(ZP_FORMAT ${CMAKE_MATCH_1})
    set(ZP_NAME ${CMAKE_MATCH_2})
    set(BLOCK_WEIGHTS ${CMAKE_MATCH_3})
    string(TOLOWER ${ZP_NAME} FILE_NAME)
    set(ZP_CODEC "codes/codec_common")
    set(ZP_MATMUL_INT8 "")
    if(BLOCK_WEIGHTS GREATER 1)  # the others are plain floats: no codec, no integer products
      set(ZP_CODEC "codes/${FILE_NAME}")
      set(ZP_MATMUL_INT8
        "template void matmul_int8<${ZP_SET}::Lanes, Format::${ZP_FORMAT}>(const MatmulInt8&);\n")
    endif()
    set(UNIT ${ZP_GENERATED}/kernels/${ZP_SET}/${FILE_NAME}.cpp)
    configure_file(${TEMPLATE} ${UNIT} @ONLY)
    list(APPEND UNITS ${UNIT})
  endforeach()
  set(${VARIABLE} ${UNITS} PARENT_SCOPE)
endfunction()

foreach(ZP_UNIT_SET IN LISTS ZP_UNITS)  # as a script
  zp_kernel_units(ZP_IGNORED ${ZP_UNIT_SET})
endforeach()
