// Which of the prebuilt addons is this platform's: platform, architecture and, on Linux, the C library.
'use strict';
const { readFileSync } = require('node:fs');

/** The name of the folder under `prebuilt` that this platform's addon is in. */
exports.name = () => {
  // The C library that this process has loaded; asking process.report would look up host names.
  const libc =
    process.platform !== 'linux' ? '' : readFileSync('/proc/self/maps', 'utf8').includes('/ld-musl-') ? '-musl' : '-glibc';
  return `${process.platform}-${process.arch}${libc}`;
};
