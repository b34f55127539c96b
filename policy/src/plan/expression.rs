//! Expressions: from those of policies to a column of a hook point.

use super::Attach;
use super::ColumnPlan;
use super::ColumnTable;
use super::asked::{Source, Tests};
use super::columns::{Asking, Test, unresolved};
use super::fields::{Field, Resolved};
use super::place::Placing;
use super::refusal::Problem;
use super::vectors::{Bits, VectorSet};
use crate::expression::{Code, Mistake, Name};
use crate::model::{ExpressionTest, Operand};
use lictor_node_worker_ebpf::LICTOR_MAX_EXPRESSIONS;
use lictor_node_worker_ebpf::lictor_column_kind as kind;
use lictor_node_worker_ebpf::lictor_expression_operation as operation;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// A different expression of a hook point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionPlan {
    /// Vector of the rules that want it to hold.
    pub wanted: u32,
    /// Vector of those of them that do not hold where one of its numbers could not be read.
    pub unresolved: u32,
    /// The fields that it reads and that may be unread, one bit for each.
    pub unread: u8,
    /// Its instructions, see `LICTOR_EXPRESSION_*` of the wire contract.
    pub words: Vec<u64>,
}

impl ExpressionPlan {
    /// All its words in a column, with these vectors.
    pub(super) fn framed(&self, vectors: u64) -> Vec<u64> {
        // The vectors, the instructions, the end.
        let length = self.words.len() as u64 + 2;
        let begin =
            u64::from(operation::LICTOR_EXPRESSION_BEGIN) | u64::from(self.unread) << 8 | length << 32;
        let end = u64::from(operation::LICTOR_EXPRESSION_END);
        [&[begin, vectors], self.words.as_slice(), &[end]].concat()
    }
}

/// An EXPRESSION column.
pub(super) fn column(
    asking: &[Asking<'_>],
    vectors: &mut VectorSet,
    fields: &[Field],
    attach: Attach,
) -> ColumnPlan {
    let mut rules: BTreeMap<&Code<Field>, [BTreeSet<usize>; 2]> = BTreeMap::new();
    for one in asking {
        for code in one.tests.iter().filter_map(|test| test.expression()) {
            let [wanted, unresolved] = rules.entry(code).or_default();
            wanted.insert(one.rule);
            if !one.match_unresolved {
                unresolved.insert(one.rule);
            }
        }
    }
    let index = |field: Field| fields.binary_search(&field).map_or(0, |index| index as u8);
    let mut vector_of = |rules: &BTreeSet<usize>| {
        let mut bits = Bits::none(vectors.rule_count());
        for rule in rules {
            bits.put(*rule, true);
        }
        vectors.number(&bits)
    };
    let expressions = rules.iter().map(|(code, [wanted, unresolved])| {
        let behind = code.values().into_iter().filter(|field| field.may_be_unread(attach));
        ExpressionPlan {
            wanted: vector_of(wanted),
            unresolved: vector_of(unresolved),
            unread: behind.fold(0, |bits, field| bits | 1 << index(field)),
            words: code.words(index),
        }
    });
    let table = ColumnTable::Expression(expressions.collect());
    let all = vectors.number(&Bits::all(vectors.rule_count()));
    ColumnPlan { default_vector: all, unresolved_vector: unresolved(asking, vectors), table }
}

impl Placing<'_> {
    pub(super) fn expression(
        &mut self,
        test: &ExpressionTest,
        args: &[Option<Resolved>],
        returned: Option<Resolved>,
        tests: &mut Tests,
    ) {
        let mut read: BTreeMap<Name, (Field, (u8, bool))> = BTreeMap::new();
        for (name, operand) in &test.values {
            let resolved = match operand {
                Operand::Arg(place) => args.get(*place).copied().flatten(),
                Operand::Return => returned,
            };
            // What has been refused is not refused again.
            let refused = match operand {
                Operand::Arg(place) => args.get(*place).is_some_and(Option::is_none),
                Operand::Return => {
                    self.hook.on_return && self.hook.return_arg.is_some() && returned.is_none()
                }
            };
            let kind = resolved.map(|resolved| resolved.kind);
            let integer = kind.and_then(crate::model::ArgKind::integer);
            if let Some((field, integer)) = resolved.and_then(|resolved| resolved.field).zip(integer) {
                read.insert(*name, (field, integer));
            } else if !refused {
                let found = match kind {
                    Some(kind) => format!("`{name}`, a value of type {}, in an expression", kind.name()),
                    None => format!("`{name}`, which is not read, in an expression"),
                };
                self.refuse(&test.at, Problem::new(found, "integers"));
                return;
            } else {
                return;
            }
        }
        let condition = test.expression.check(&|name| read.get(&name).map(|(_, kind)| *kind));
        let fields = |name| read.get(&name).map(|(field, _)| (*field, field.int()));
        let code = match condition.and_then(|condition| condition.compile(&fields)) {
            Ok(code) => code,
            Err(mistake) => return self.refuse(&test.at_text, problem(mistake)),
        };
        let code = self.expressions.get(&code).map_or_else(|| Rc::new(code), Rc::clone);
        // More than a hook point can have are refused when all are known; no more than tell so are kept.
        if self.expressions.len() <= LICTOR_MAX_EXPRESSIONS as usize || self.expressions.contains(&code) {
            self.expressions.insert(Rc::clone(&code));
            tests.add(kind::LICTOR_COLUMN_EXPRESSION, Source::Fields, Test::Expression(code));
        }
    }
}

fn problem(mistake: Mistake) -> Problem {
    let found = mistake.in_place();
    let problem = Problem::new(found, mistake.allowed);
    match mistake.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}
