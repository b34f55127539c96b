//! The kernel that policies are tried against.

use super::FactsFrom;
use anyhow::Context as _;
use lictor_node_worker::kernel::facts::{System, gather};
use lictor_policy::plan::NodeFacts;
use std::io::Write;

/// The facts that were asked for; says on `notes` what is missing or why there are none.
pub(super) fn facts(from: FactsFrom, notes: &mut dyn Write) -> anyhow::Result<Option<NodeFacts>> {
    match from {
        FactsFrom::None => Ok(None),
        FactsFrom::System => {
            let System { facts, notes: missing, .. } =
                gather().context("cannot find out about this machine's kernel")?;
            for note in missing {
                writeln!(notes, "note: {note}")?;
            }
            Ok(Some(facts))
        }
        FactsFrom::Auto => match gather() {
            Ok(system) if system.notes.is_empty() => Ok(Some(system.facts)),
            // Refusing a policy for what only this user may not see would be wrong.
            Ok(system) => {
                let missing = system.notes.join("; ");
                writeln!(
                    notes,
                    "note: not tried against this machine's kernel (--facts system does): {missing}"
                )?;
                Ok(None)
            }
            Err(error) => {
                let error = anyhow::Error::from(error);
                writeln!(notes, "note: not tried against this machine's kernel: {error:#}")?;
                Ok(None)
            }
        },
    }
}
