//! `Override` at a function of a program: what is written to its registers.

use super::report::{Report, quoted};
use super::user;
use crate::model::{AssignedValue, Assignment, FieldPath, FunctionName, Register, RegistersAction};
use crate::spec::{ASSIGNMENTS_MAX, ActionSpec};

/// The arguments of `Override` that are for programs only.
pub(super) fn given(spec: &ActionSpec) -> Option<&'static str> {
    let given = [
        ("argRegs", !spec.arg_regs.is_empty()),
        ("argNewSymbol", spec.arg_new_symbol.is_some()),
        ("argNewAddr", spec.arg_new_addr.is_some()),
        ("argNewOffset", spec.arg_new_offset.is_some()),
    ];
    given.into_iter().find(|(_, given)| *given).map(|(name, _)| name)
}

/// What `Override` writes.
pub(super) fn action(spec: &ActionSpec, at: &FieldPath, report: &mut Report) -> Option<RegistersAction> {
    let function = function(spec, at, report);
    let assignments = assignments(&spec.arg_regs, &at.member("argRegs"), report);
    if let Some(number) = spec.arg_error {
        if let Some(name) = given(spec) {
            let hint =
                "`argError` is what the function returns at once; write `rax=...` beside other registers";
            report.refuse_with(at, format!("`argError` and `{name}`"), "one of the two", hint);
        }
        return Some(RegistersAction::returning(i32::try_from(number).ok()?.into()));
    }
    if given(spec).is_none() {
        let allowed = "argError, argRegs, or one of argNewSymbol, argNewAddr, argNewOffset";
        report.refuse_with(at, "nothing to write", allowed, "argError is what the function returns at once");
        return None;
    }
    if function.is_some() && assignments.iter().any(|one| one.to == Register::INSTRUCTION) {
        report.refuse(&at.member("argRegs"), "`rip` besides another function", "one of the two");
    }
    Some(RegistersAction { assignments, function, returns: false })
}

/// The function that is executed instead.
fn function(spec: &ActionSpec, at: &FieldPath, report: &mut Report) -> Option<FunctionName> {
    let symbol = spec.arg_new_symbol.as_deref();
    let symbol = symbol.map(|text| user::symbol(text, &at.member("argNewSymbol"), report));
    let mut number = |name: &str, text: Option<&str>, named: fn(u64) -> FunctionName| {
        text.map(|text| {
            let number = unsigned(text);
            if number.is_none() {
                report.refuse(&at.member(name), quoted(text), "a number, 0 and more, as 4480 or 0x1180");
            }
            number.map(named)
        })
    };
    let address = number("argNewAddr", spec.arg_new_addr.as_deref(), FunctionName::Address);
    let offset = number("argNewOffset", spec.arg_new_offset.as_deref(), FunctionName::Offset);
    let mut given = [symbol, address, offset].into_iter().flatten();
    let first = given.next()?;
    if given.next().is_some() {
        report.refuse(at, "several functions", "one of argNewSymbol, argNewAddr, argNewOffset");
    }
    first
}

fn assignments(texts: &[String], at: &FieldPath, report: &mut Report) -> Vec<Assignment> {
    if texts.len() > ASSIGNMENTS_MAX {
        report.refuse(at, format!("{} registers", texts.len()), format!("at most {ASSIGNMENTS_MAX}"));
        return Vec::new();
    }
    let mut assignments: Vec<Assignment> = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        let at = at.index(place);
        match assignment(text) {
            Err(allowed) => report.refuse(&at, quoted(text), allowed),
            Ok(one) if assignments.iter().any(|other| other.to.offset() == one.to.offset()) => {
                report.refuse(&at, format!("`{}` a second time", one.to), "each register once");
            }
            Ok(one) => assignments.push(one),
        }
    }
    assignments
}

/// `rax=1`, `rbp=%rsp`, `rip=8%rsp`, `rbp=(%rsp)`, `rdi=-8(%rbp)`; else what is allowed.
fn assignment(text: &str) -> Result<Assignment, &'static str> {
    const FORMS: &str = "REGISTER=VALUE, the value a number, `%REGISTER` or `(%REGISTER)`, the last two with a number before them";
    const NAMES: &str = "registers of x86-64 by their names, as rax, eax, ax, al, r8, r8d, rsp, rip";
    let (to, value) = text.split_once('=').ok_or(FORMS)?;
    let to = Register::named(to.trim()).ok_or(NAMES)?;
    let value = value.trim();
    let Some((before, register)) = value.split_once('%') else {
        return Ok(Assignment { to, value: AssignedValue::Number(signed(value).ok_or(FORMS)?) });
    };
    let (plus, register, in_memory) = match (before.strip_suffix('('), register.strip_suffix(')')) {
        (Some(plus), Some(register)) => (plus, register, true),
        (None, None) => (before, register, false),
        (Some(_), None) | (None, Some(_)) => return Err(FORMS),
    };
    let plus = if plus.is_empty() { 0 } else { signed(plus).ok_or(FORMS)? };
    let register = Register::named(register).ok_or(NAMES)?;
    let value = match in_memory {
        true if register.width() != 8 => return Err("addresses in registers of 64 bits, as (%rsp)"),
        true => AssignedValue::Memory(register, plus),
        false => AssignedValue::Register(register, plus),
    };
    Ok(Assignment { to, value })
}

/// A number in decimal or, after `0x`, in hexadecimal.
fn unsigned(text: &str) -> Option<u64> {
    let (digits, radix) = text.strip_prefix("0x").map_or((text, 10), |digits| (digits, 16));
    let clean = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    clean.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// The same with a sign. What has 64 bits is a number with a sign and without one.
fn signed(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(digits) => 0_i64.checked_sub_unsigned(unsigned(digits)?),
        None => Some(unsigned(text)?.cast_signed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read() {
        let register = |name: &str| Register::named(name).unwrap();
        for (text, to, value) in [
            ("rax=1", "rax", AssignedValue::Number(1)),
            ("al=0xff", "al", AssignedValue::Number(255)),
            ("rdi=-1", "rdi", AssignedValue::Number(-1)),
            ("rdi=0xffffffffffffffff", "rdi", AssignedValue::Number(-1)),
            ("rdi=-9223372036854775808", "rdi", AssignedValue::Number(i64::MIN)),
            ("rbp=%rsp", "rbp", AssignedValue::Register(register("rsp"), 0)),
            ("rip=8%rsp", "rip", AssignedValue::Register(register("rsp"), 8)),
            ("eax=-0x10%edi", "eax", AssignedValue::Register(register("edi"), -16)),
            ("rbp=(%rsp)", "rbp", AssignedValue::Memory(register("rsp"), 0)),
            ("rsp = 8(%rsp)", "rsp", AssignedValue::Memory(register("rsp"), 8)),
        ] {
            let read = assignment(text);
            assert_eq!(read, Ok(Assignment { to: register(to), value }), "{text}");
            let written = read.map(|read| read.to_string());
            assert_eq!(written.as_deref().map(assignment), Ok(read), "what is written is read");
        }
        for text in [
            "",
            "rax",
            "rax=",
            "=1",
            "rax=%",
            "rax=1%",
            "rax=%rsp)",
            "rax=(%rsp",
            "rax=8(rsp)",
            "rax=x",
            "rax=(%esp)",
            "eip=1",
            "%rax=1",
            "rax=+1",
            "rax=--1",
            "rax=0x",
            "rax=-",
            "rax=18446744073709551616",
            "rax=-9223372036854775809",
            "rax=1 %rsp(",
        ] {
            assert!(assignment(text).is_err(), "{text}");
        }
    }
}
