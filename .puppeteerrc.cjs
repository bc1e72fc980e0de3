// Set-up (cli/setup.mjs) finds or installs a browser; an install of the package must not fail because a download did.
module.exports = { skipDownload: true };
