# Where everything is installed, and the Debian package: cpack -G DEB --config build/release/CPackConfig.cmake
include(GNUInstallDirs)
install(TARGETS outrigger outrigger-init RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(TARGETS outrigger-inject RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(PROGRAMS ${CMAKE_BINARY_DIR}/bin/outriggerctl DESTINATION ${CMAKE_INSTALL_BINDIR})

# Compressed without names and times, as Debian has them, and the same each time.
find_program(GZIP gzip REQUIRED)
function(outrigger_install_compressed file name destination)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/compressed/${name}.gz
        COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/compressed
        COMMAND ${GZIP} -9nc ${PROJECT_SOURCE_DIR}/${file} > ${CMAKE_BINARY_DIR}/compressed/${name}.gz
        DEPENDS ${PROJECT_SOURCE_DIR}/${file})
    add_custom_target(compressed-${name} ALL DEPENDS ${CMAKE_BINARY_DIR}/compressed/${name}.gz)
    install(FILES ${CMAKE_BINARY_DIR}/compressed/${name}.gz DESTINATION ${destination})
endfunction()
foreach(page outrigger.8 outrigger-init.8 outriggerctl.1 outrigger-inject.1)
    string(REGEX REPLACE ".*[.]" "" section ${page})
    outrigger_install_compressed(man/${page} ${page} ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
outrigger_install_compressed(CHANGELOG.md changelog ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)
install(FILES README.md docs/configuration.md docs/operations.md docs/init-options.md docs/annotations.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(FILES deploy/systemd/outrigger.service deploy/systemd/outrigger-capture.service DESTINATION lib/systemd/system)
install(FILES deploy/systemd/sysusers.conf DESTINATION lib/sysusers.d RENAME outrigger.conf)
# What somebody has written there stays.
install(CODE "
    foreach(file outrigger.yaml capture.env)
        if(NOT EXISTS \"\$ENV{DESTDIR}/etc/outrigger/\${file}\")
            file(INSTALL \"${PROJECT_SOURCE_DIR}/deploy/systemd/\${file}\" DESTINATION /etc/outrigger)
        endif()
    endforeach()")

set(CPACK_GENERATOR DEB)
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME outrigger)
set(CPACK_PACKAGE_CONTACT "The Outrigger authors <outrigger@outrigger.dev>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Layer-4 service-mesh sidecar and fault-tolerance proxy")
set(CPACK_PACKAGE_DESCRIPTION "Outrigger carries TCP connections and gives them retries on other endpoints,
timeouts, circuit breaking, outlier detection and mutual TLS, in front of any
service, or transparently by redirect rules. This package has the proxy and its
systemd units, the installer of redirect rules, the control client, and the
injector of Kubernetes sidecars.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${PROJECT_SOURCE_DIR}/deploy/debian/postinst;${PROJECT_SOURCE_DIR}/deploy/debian/prerm;${PROJECT_SOURCE_DIR}/deploy/debian/postrm;${PROJECT_SOURCE_DIR}/deploy/debian/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
