/// <reference types="vite/client" />
declare module "*.safetensors?url" {
  const url: string;
  export default url;
}
