/** What to do where a browser has no WebGPU adapter. */
export const NO_WEBGPU =
  "This browser offers no WebGPU here. Chrome and Edge 113 or later have it on Windows, macOS, Android and ChromeOS (on Linux behind chrome://flags/#enable-unsafe-webgpu), Safari from version 26, Firefox from 141 on Windows. The page must come over https or from localhost.";
