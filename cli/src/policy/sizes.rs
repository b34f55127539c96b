//! How large a plan's tables are.

use anyhow::Context as _;
use lictor_policy::plan::{Plan, layout, memory_estimate};
use serde::Serialize;
use std::collections::BTreeMap;

/// Entries of a revision's tables, and the kernel memory that they take.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Sizes {
    /// Sets of rules, each of 512 bytes.
    pub(super) vectors: usize,
    /// Words of 8 bytes that lookups answer with.
    pub(super) words: usize,
    /// Rules of all hook points.
    pub(super) rules: usize,
    /// Pieces of paths and texts.
    pub(super) texts: usize,
    /// Single numbers and process ids.
    pub(super) numbers: usize,
    /// Estimated kernel memory of all of them, bytes.
    pub(super) memory_bytes: u64,
}

/// Lays the plan out as an empty node would.
pub(super) fn sizes(plan: &Plan) -> anyhow::Result<Sizes> {
    let slots: BTreeMap<_, u16> = plan.hooks.iter().map(|hook| hook.point.clone()).zip(0..).collect();
    let shapes: BTreeMap<_, u32> = plan.hooks.iter().map(|hook| hook.point.clone()).zip(1..).collect();
    let counters: Vec<u32> = (0..).take(plan.policies.len()).collect();
    let tables = layout(plan, &slots, &shapes, &counters).context("cannot lay out the tables")?;
    Ok(Sizes {
        vectors: tables.vectors.len(),
        words: tables.words.len(),
        rules: tables.rules.len(),
        texts: tables.lpm.len(),
        numbers: tables.numbers.len(),
        memory_bytes: memory_estimate(&tables),
    })
}
