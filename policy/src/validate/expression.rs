//! `CelExpr`: expressions, and the values that they name.

use super::report::{Report, quoted};
use crate::expression::{Expression, Mistake, place};
use crate::model::{Arg, ArgKind, ExpressionTest, FieldPath, Operand, Predicate};
use crate::spec::ValueFilter;
use std::collections::BTreeMap;

/// A value that an expression may name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed<'a> {
    /// What stands behind `arg`.
    pub(super) number: u32,
    pub(super) operand: Operand,
    /// `None` = it has been refused.
    pub(super) arg: Option<&'a Arg>,
}

/// Values that a filter lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) listed: &'a [Listed<'a>],
    /// They are listed by their places: who reads them may take the numbers for places, too.
    pub(super) by_place: bool,
}

/// The predicate that the filter's expression is over these values; says what is wrong otherwise.
pub(super) fn predicate(
    filter: &ValueFilter,
    given: Given<'_>,
    at: &FieldPath,
    report: &mut Report,
) -> Option<Predicate> {
    let [text] = filter.values.as_slice() else {
        let found = match filter.values.len() {
            0 => "no value".to_owned(),
            count => format!("{count} values"),
        };
        let hint = "filters of a selector are ANDed, selectors are ORed; `||` joins conditions";
        report.refuse_with(&at.member("values"), found, "one value: an expression", hint);
        return None;
    };
    let at_text = at.member("values").index(0);
    let expression = match Expression::parse(text) {
        Ok(expression) => expression,
        Err(mistake) => return refuse(&mistake, &at_text, report),
    };
    let named = expression.arguments();
    if named.is_empty() {
        let found = format!("{}, which names no argument", quoted(text));
        report.refuse(&at_text, found, format!("an expression over {}", names(given.listed)));
        return None;
    }
    let before = report.refused;
    for (number, column) in &named {
        one_value(*number, *column, given, &at_text, report);
    }
    if report.refused > before {
        return None;
    }
    let numbers: Vec<u32> = named.iter().map(|(number, _)| *number).collect();
    if given.by_place && is_ambiguous(&numbers, given.listed) {
        let hint = "`arg0` is the argument with `index: 0`; name a single one by `index`, or put the `args` of hook and filter \
                    in the order of their indices";
        let found = format!("{}, whose numbers may be taken for places", quoted(text));
        report.refuse_with(&at_text, found, "names that mean the same by index and by place", hint);
        return None;
    }
    let mut arguments = BTreeMap::new();
    let mut kinds = BTreeMap::new();
    for number in numbers {
        let listed = given.listed.iter().find(|listed| listed.number == number)?;
        arguments.insert(number, listed.operand);
        kinds.insert(number, listed.arg?.kind);
    }
    // What the kernel has to tell is looked at when it has.
    if kinds.values().all(|kind| *kind != ArgKind::Auto) {
        let integer = |number| kinds.get(&number).and_then(|kind| kind.integer());
        let condition = expression.check(&integer);
        let code = condition.and_then(|condition| {
            condition.compile(&|number| integer(number).map(|integer| (number, integer)))
        });
        if let Err(mistake) = code {
            return refuse(&mistake, &at_text, report);
        }
    }
    Some(Predicate::Expression(ExpressionTest { at: at.clone(), expression, arguments }))
}

/// Says what is wrong with an expression.
fn refuse(mistake: &Mistake, at: &FieldPath, report: &mut Report) -> Option<Predicate> {
    match &mistake.hint {
        Some(hint) => report.refuse_with(at, mistake.in_place(), &mistake.allowed, hint),
        None => report.refuse(at, mistake.in_place(), &mistake.allowed),
    }
    None
}

/// Whether a name means one integer of those that are listed; says what is wrong otherwise.
fn one_value(number: u32, column: usize, given: Given<'_>, at: &FieldPath, report: &mut Report) {
    let found = format!("`arg{number}` {}", place(column));
    let meant: Vec<&Listed<'_>> = given.listed.iter().filter(|listed| listed.number == number).collect();
    match meant.as_slice() {
        [] => {
            // While an argument is refused, its number is not known.
            if given.listed.iter().all(|listed| listed.arg.is_some()) {
                let hint = "list the places of all arguments that the expression names: `args: [0, 1]`";
                report.refuse_with(
                    at,
                    found,
                    format!("arguments that the filter lists: {}", names(given.listed)),
                    hint,
                );
            }
        }
        [one] => {
            let Some(arg) = one.arg else { return };
            if arg.kind.integer().is_none() && arg.kind != ArgKind::Auto {
                let found = format!("{found}, a value of type {}", arg.kind.name());
                report.refuse(at, found, "integers in expressions");
            }
        }
        several => {
            let found = format!("{found}, a name of {} listed values", several.len());
            report.refuse_with(at, found, "names that mean one value", "list one of them in `args`");
        }
    }
}

/// Whether the same names mean other values for a reader who takes the numbers for places, be it in the filter's list or
/// in the hook's.
fn is_ambiguous(numbers: &[u32], listed: &[Listed<'_>]) -> bool {
    let place_of = |number: u32| usize::try_from(number).map_or(Operand::Return, Operand::Arg);
    let in_filter = |number: u32| usize::try_from(number).ok().and_then(|place| listed.get(place));
    let in_hook = |number: u32| listed.iter().find(|one| one.operand == place_of(number));
    let differs = |read: &dyn Fn(u32) -> Option<u32>| {
        let meant: Option<Vec<u32>> = numbers.iter().map(|number| read(*number)).collect();
        meant.is_some_and(|meant| meant != numbers)
    };
    differs(&|number| in_filter(number).map(|one| one.number))
        || differs(&|number| in_hook(number).map(|one| one.number))
}

/// "arg0, arg1"
fn names(listed: &[Listed<'_>]) -> String {
    let mut numbers: Vec<u32> = listed.iter().filter(|one| one.arg.is_some()).map(|one| one.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.iter().map(|number| format!("arg{number}")).collect::<Vec<_>>().join(", ")
}
