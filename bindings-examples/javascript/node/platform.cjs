// Which of the prebuilt addons is this platform's: platform, architecture and, on Linux, the C library.
'use strict';

/** The name of the folder under `prebuilt` that this platform's addon is in. */
exports.name = () => {
  const libc =
    process.platform !== 'linux' ? '' : process.report.getReport().header.glibcVersionRuntime ? '-glibc' : '-musl';
  return `${process.platform}-${process.arch}${libc}`;
};
