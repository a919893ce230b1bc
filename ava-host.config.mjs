export default { files: ['dist-host/test/**/*.test.js'], workerThreads: false, timeout: '2m', require: ['./dist-host/test/support/fatal-warnings.js'] }
