//! Options by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An option: a name and a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OptionSpec {
    /// Name: `policy-mode` (`enforce` or `monitor`). `disable-kprobe-multi`, `disable-uprobe-multi`, `override-method`
    /// and `sleepable-preload-size` are accepted and have no effect: attachment is chosen by what the kernel can do.
    pub name: String,
    /// Value of the option.
    pub value: String,
}
