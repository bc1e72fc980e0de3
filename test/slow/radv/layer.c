/* A Vulkan layer for Mesa's null hardware, which compiles shaders and has no memory or queue: command buffers are not begun, work is not
 * submitted, waits end at once. */
#include <stdint.h>
#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

static PFN_vkGetInstanceProcAddr next_instance;
static PFN_vkGetDeviceProcAddr next_device;
static VkInstance instance;

static VkLayerInstanceCreateInfo* instance_link(const VkInstanceCreateInfo* info) {
  VkLayerInstanceCreateInfo* link = (VkLayerInstanceCreateInfo*)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (VkLayerInstanceCreateInfo*)link->pNext;
  return link;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo* info, const VkAllocationCallbacks* memory, VkInstance* made) {
  VkLayerInstanceCreateInfo* link = instance_link(info);
  next_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  VkResult result = ((PFN_vkCreateInstance)next_instance(NULL, "vkCreateInstance"))(info, memory, made);
  instance = *made;
  return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo* info, const VkAllocationCallbacks* memory,
                                                    VkDevice* made) {
  VkLayerDeviceCreateInfo* link = (VkLayerDeviceCreateInfo*)info->pNext;
  while (link && !(link->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && link->function == VK_LAYER_LINK_INFO))
    link = (VkLayerDeviceCreateInfo*)link->pNext;
  PFN_vkGetInstanceProcAddr get = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  next_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  return ((PFN_vkCreateDevice)get(instance, "vkCreateDevice"))(physical, info, memory, made);
}

/* Takes any arguments: callers pass them in registers, and it reads none. */
static VKAPI_ATTR VkResult VKAPI_CALL nothing(void) { return VK_SUCCESS; }

static const char* const SKIPPED[] = {"vkBeginCommandBuffer", "vkEndCommandBuffer", "vkQueueSubmit",  "vkGetFenceStatus",
                                      "vkWaitForFences",      "vkQueueWaitIdle",    "vkDeviceWaitIdle"};

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL layer_device(VkDevice device, const char* name) {
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)layer_device;
  for (unsigned i = 0; i < sizeof SKIPPED / sizeof *SKIPPED; i++)
    if (!strcmp(name, SKIPPED[i])) return (PFN_vkVoidFunction)nothing;
  return next_device ? next_device(device, name) : NULL;
}

VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL layer_instance(VkInstance of, const char* name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)layer_instance;
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)layer_device;
  if (!strcmp(name, "vkCreateInstance")) return (PFN_vkVoidFunction)create_instance;
  if (!strcmp(name, "vkCreateDevice")) return (PFN_vkVoidFunction)create_device;
  return next_instance ? next_instance(of, name) : NULL;
}
