/** Preloaded into test processes: a warning that tells of a leak fails the test file it comes from. */
process.on('warning', warning => {
  if (warning.name === 'MaxListenersExceededWarning') throw warning
})
