# Lists the positional encodings: every source in native/ops/position defines one, except rope.cpp.
#
#   zp_position_encodings(VARIABLE)  sets VARIABLE to the sources, including the generated list
#
# Also a script: cmake -DZP_NATIVE=native -DZP_GENERATED=FOLDER -DZP_ENCODINGS=ON -P position_encodings.cmake
function(zp_position_encodings VARIABLE)
  set(FOLDER ${ZP_NATIVE}/ops/position)
  if(CMAKE_SCRIPT_MODE_FILE)
    file(GLOB SOURCES ${FOLDER}/*.cpp)
  else()
    file(GLOB SOURCES CONFIGURE_DEPENDS ${FOLDER}/*.cpp)
  endif()
  list(FILTER SOURCES EXCLUDE REGEX "/rope\\.cpp$")
  foreach(SOURCE IN LISTS SOURCES)
    get_filename_component(NAME ${SOURCE} NAME_WE)
    string(APPEND ZP_DECLARATIONS "extern const PositionEncoding kEncoding_${NAME};\n")
    list(APPEND ADDRESSES "&kEncoding_${NAME}")
  endforeach()
  list(JOIN ADDRESSES ", " ZP_ADDRESSES)
  set(LIST ${ZP_GENERATED}/ops/position/encodings.cpp)
  configure_file(${FOLDER}/encodings.cpp.in ${LIST} @ONLY)
  set(${VARIABLE} ${SOURCES} ${LIST} PARENT_SCOPE)
endfunction()

if(ZP_ENCODINGS)  # as a script
  zp_position_encodings(ZP_IGNORED)
endif()
