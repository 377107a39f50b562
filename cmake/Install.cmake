# What `cmake --install` gives: programs, the plugin, and libvswap for others' programs, as one static library with a
# CMake package (find_package(vswap): vswap::client) and vswap.pc.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Headers include each other by paths that begin at the root of this tree, so that is where the user's begin too.
set(VSWAP_HEADERS_DIR ${CMAKE_INSTALL_INCLUDEDIR}/vswap)
set(VSWAP_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/vswap)
# Debian's names of what a static libvswap needs, for pkg-config and, by pkg-config, for CMake.
set(VSWAP_REQUIRES "grpc++ protobuf liblz4 libisal absl_status absl_statusor")

set(PARTS vswap_client vswap_client_core vswap_grpc_glue vswap_grpc vswap_proto vswap_common)
add_library(vswap_installed STATIC)
foreach(PART ${PARTS})
  target_sources(vswap_installed PRIVATE $<TARGET_OBJECTS:${PART}>)
endforeach()
set_target_properties(vswap_installed PROPERTIES OUTPUT_NAME vswap LINKER_LANGUAGE CXX)
target_sources(
  vswap_installed
  PUBLIC FILE_SET HEADERS
         BASE_DIRS ${CMAKE_SOURCE_DIR}
         FILES ${CMAKE_SOURCE_DIR}/client/client_options.h
               ${CMAKE_SOURCE_DIR}/client/client_stats.h
               ${CMAKE_SOURCE_DIR}/client/page_range.h
               ${CMAKE_SOURCE_DIR}/client/results.h
               ${CMAKE_SOURCE_DIR}/client/swap_client.h
               ${CMAKE_SOURCE_DIR}/services/common/executor.h
               ${CMAKE_SOURCE_DIR}/services/common/ids.h
               ${CMAKE_SOURCE_DIR}/services/common/page.h
               ${CMAKE_SOURCE_DIR}/services/common/status.h)

install(TARGETS vswapd vswapctl vswap-bench RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS nbdkit_vswap_plugin LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/nbdkit/plugins)
install(
  TARGETS vswap_installed
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${VSWAP_HEADERS_DIR})

configure_package_config_file(
  ${CMAKE_SOURCE_DIR}/cmake/vswapConfig.cmake.in ${CMAKE_BINARY_DIR}/vswapConfig.cmake
  INSTALL_DESTINATION ${VSWAP_PACKAGE_DIR}
  PATH_VARS CMAKE_INSTALL_LIBDIR VSWAP_HEADERS_DIR)
# Before 1.0 a change of the minor version may break users.
write_basic_package_version_file(
  ${CMAKE_BINARY_DIR}/vswapConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/vswapConfig.cmake ${CMAKE_BINARY_DIR}/vswapConfigVersion.cmake
        DESTINATION ${VSWAP_PACKAGE_DIR})

# Where it lies is found from where vswap.pc lies, so that any prefix may be given to `cmake --install`.
file(RELATIVE_PATH VSWAP_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/cmake/vswap.pc.in ${CMAKE_BINARY_DIR}/vswap.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/vswap.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
