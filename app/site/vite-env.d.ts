/// <reference types="vite/client" />
declare module "*.safetensors?url" {
  const url: string;
  export default url;
}
declare module "*.bin?url" {
  const url: string;
  export default url;
}
declare module "*.css";
