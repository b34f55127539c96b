-- Health of Lictor's policies for Argo CD: resource.customizations.health.lictor.io_TracingPolicy and
-- resource.customizations.health.lictor.io_TracingPolicyNamespaced of the ConfigMap argocd-cm.
local health = { status = "Progressing", message = "the operator has not looked at this version yet" }
local status = obj.status
if status == nil or status.conditions == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local function holds(name)
  return conditions[name] ~= nil and conditions[name].status == "True"
end
if holds("Reconciling") then
  health.message = conditions["Reconciling"].message
elseif holds("Stalled") then
  health.status = "Degraded"
  health.message = conditions["Stalled"].message
elseif holds("Ready") then
  health.status = "Healthy"
  health.message = conditions["Ready"].message
end
return health
