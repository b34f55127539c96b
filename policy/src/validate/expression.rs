//! `matchCEL` and `CelExpr`: expressions, and the values that they name.

use super::report::{Report, quoted};
use crate::expression::{Expression, Mistake, Name, place};
use crate::model::{Arg, ArgKind, ExpressionTest, FieldPath, Operand, Predicate};
use crate::spec::{ExpressionFilter, Operator, ValueFilter};
use std::collections::BTreeMap;

/// A value that an expression may name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed<'a> {
    pub(super) name: Name,
    pub(super) operand: Operand,
    /// `None` = it has been refused.
    pub(super) arg: Option<&'a Arg>,
}

/// The predicate that a filter on several values is; says what is wrong otherwise.
pub(super) fn filter(
    filter: &ValueFilter,
    listed: &[Listed<'_>],
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    if filter.operator == Operator::CapabilitiesGained {
        return gained(filter, listed, at, report);
    }
    let [text] = filter.values.as_slice() else {
        let found = match filter.values.len() {
            0 => "no value".to_owned(),
            count => format!("{count} values"),
        };
        let hint = "filters of a selector are ANDed, selectors are ORed; `||` joins conditions";
        report.refuse_with(&at.member("values"), found, "one value: an expression", hint);
        return None;
    };
    predicate(text, listed, at, &at.member("values").index(0), report)
}

/// The predicate that `matchCEL` is; says what is wrong otherwise.
pub(super) fn match_cel(
    filter: &ExpressionFilter,
    listed: &[Listed<'_>],
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    predicate(&filter.expr, listed, at, &at.member("expr"), report)
}

/// The second of two sets of capabilities has one that the first one lacks.
fn gained(
    filter: &ValueFilter,
    listed: &[Listed<'_>],
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    let [before, after] = listed else {
        let found = format!("{} arguments of CapabilitiesGained", listed.len());
        let hint = "`args: [0, 1]`: what there was, then what there is to be";
        report.refuse_with(&at.member("args"), found, "the places of two sets of capabilities", hint);
        return None;
    };
    let refused = report.refused;
    for one in [before, after] {
        let Some(arg) = one.arg else { continue };
        if !matches!(arg.kind, ArgKind::Capabilities(_)) {
            let found =
                format!("{}, which is of type {}, for CapabilitiesGained", arg.origin(), arg.kind.name());
            let allowed = "kernel_cap_t, cap_effective, cap_inheritable, cap_permitted";
            report.refuse(&at.member("args"), found, allowed);
        }
    }
    let mask = super::process::capabilities(&filter.values, at, report);
    let (before, after) = (before.arg.map(|_| before)?, after.arg.map(|_| after)?);
    let gained = format!("and({}, not({}))", after.name, before.name);
    let text = if filter.values.is_empty() {
        format!("{gained} != 0u")
    } else {
        format!("and({gained}, {mask:#x}u) != 0u")
    };
    if report.refused > refused {
        return None;
    }
    Some(Predicate::Expression(ExpressionTest {
        at: at.clone(),
        at_text: at.member("values"),
        expression: Expression::parse(&text).ok()?,
        values: [before, after].map(|one| (one.name, one.operand)).into(),
    }))
}

/// The predicate that a filter's text is over these values; says what is wrong otherwise.
fn predicate(
    text: &str,
    listed: &[Listed<'_>],
    at: &FieldPath,
    at_text: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(mistake) => return refuse(&mistake, at_text, report),
    };
    let named = expression.names();
    if named.is_empty() {
        let found = format!("{}, which names no value of the hook", quoted(text));
        let allowed = match names(listed) {
            none if none.is_empty() => "an expression over values of the hook, which has none".to_owned(),
            some => format!("an expression over {some}"),
        };
        report.refuse(at_text, found, allowed);
        return None;
    }
    let before = report.refused;
    for (name, column) in &named {
        one_value(*name, *column, listed, at_text, report);
    }
    if report.refused > before {
        return None;
    }
    let mut values = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for (name, _) in named {
        let listed = listed.iter().find(|listed| listed.name == name)?;
        values.insert(name, listed.operand);
        kinds.insert(name, listed.arg?.kind);
    }
    // What the kernel has to tell is looked at when it has.
    if kinds.values().all(|kind| *kind != ArgKind::Auto) {
        let integer = |name| kinds.get(&name).and_then(|kind| kind.integer());
        let condition = expression.check(&integer);
        let code = condition
            .and_then(|condition| condition.compile(&|name| integer(name).map(|integer| (name, integer))));
        if let Err(mistake) = code {
            return refuse(&mistake, at_text, report);
        }
    }
    let (at, at_text) = (at.clone(), at_text.clone());
    Some(Predicate::Expression(ExpressionTest { at, at_text, expression, values }))
}

/// Says what is wrong with an expression.
fn refuse(mistake: &Mistake, at: &FieldPath, report: &mut Report) -> Option<Predicate> {
    match &mistake.hint {
        Some(hint) => report.refuse_with(at, mistake.in_place(), &mistake.allowed, hint),
        None => report.refuse(at, mistake.in_place(), &mistake.allowed),
    }
    None
}

/// Whether a name means an integer; says what is wrong otherwise.
fn one_value(name: Name, column: usize, listed: &[Listed<'_>], at: &FieldPath, report: &mut Report) {
    let found = format!("`{name}` {}", place(column));
    let Some(meant) = listed.iter().find(|one| one.name == name) else {
        let allowed = match names(listed) {
            names if names.is_empty() => "values of the hook, which has none".to_owned(),
            names => format!("values that the filter may ask for: {names}"),
        };
        let hint = match name {
            Name::Data(_) if listed.iter().all(|one| matches!(one.name, Name::Arg(_))) => {
                "`matchCEL` of the selector compares arguments and data"
            }
            Name::Data(_) => "`data0` is the first entry of the hook's `data`",
            Name::Arg(_) => "`arg0` is the first entry of the hook's `args`, whatever its `index`",
        };
        report.refuse_with(at, found, allowed, hint);
        return;
    };
    let Some(arg) = meant.arg else { return };
    if arg.kind.integer().is_none() && arg.kind != ArgKind::Auto {
        let found = format!("{found}, a value of type {}", arg.kind.name());
        report.refuse(at, found, "integers in expressions");
    }
}

/// "arg0, arg1, data0"
fn names(listed: &[Listed<'_>]) -> String {
    listed.iter().map(|one| one.name.to_string()).collect::<Vec<_>>().join(", ")
}
