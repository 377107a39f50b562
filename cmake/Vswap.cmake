# vswap_library(NAME SOURCES ... LIBS ...): a static library of ours, warnings as errors.
# vswap_program(NAME SOURCES ... LIBS ...): an executable in bin/.
# vswap_test(NAME LABEL label SOURCES ... LIBS ...): a GoogleTest executable and one ctest entry.

add_library(vswap_options INTERFACE)
target_include_directories(vswap_options INTERFACE ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}/generated)
target_compile_options(
  vswap_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wnon-virtual-dtor
                          -Woverloaded-virtual -Werror)
if(VSWAP_SANITIZE)
  add_compile_options(-fsanitize=${VSWAP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${VSWAP_SANITIZE})
endif()

function(vswap_library NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_library(${NAME} STATIC ${ARG_SOURCES})
  target_link_libraries(${NAME} PUBLIC ${ARG_LIBS} PRIVATE vswap_options)
  target_include_directories(${NAME} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

function(vswap_program NAME)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${NAME} ${ARG_SOURCES})
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS} vswap_options)
endfunction()

function(vswap_test NAME)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LIBS;ARGS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_executable(${NAME} ${ARG_SOURCES})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${NAME} PRIVATE ${ARG_LIBS} vswap_options GTest::gmock GTest::gtest_main)
  add_test(NAME ${NAME} COMMAND ${NAME} ${ARG_ARGS})
  set_tests_properties(${NAME} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
