//! Registers of a program, and what is written to them.

use super::FunctionName;
use std::fmt;

/// The registers of x86-64 by their offset in `struct pt_regs` (arch/x86/include/uapi/asm/ptrace.h), each with the names of
/// its lowest 64, 32, 16 and 8 bits.
const REGISTERS: [(u16, [&str; 4]); 17] = [
    (0, ["r15", "r15d", "r15w", "r15b"]),
    (8, ["r14", "r14d", "r14w", "r14b"]),
    (16, ["r13", "r13d", "r13w", "r13b"]),
    (24, ["r12", "r12d", "r12w", "r12b"]),
    (32, ["rbp", "ebp", "bp", "bpl"]),
    (40, ["rbx", "ebx", "bx", "bl"]),
    (48, ["r11", "r11d", "r11w", "r11b"]),
    (56, ["r10", "r10d", "r10w", "r10b"]),
    (64, ["r9", "r9d", "r9w", "r9b"]),
    (72, ["r8", "r8d", "r8w", "r8b"]),
    (80, ["rax", "eax", "ax", "al"]),
    (88, ["rcx", "ecx", "cx", "cl"]),
    (96, ["rdx", "edx", "dx", "dl"]),
    (104, ["rsi", "esi", "si", "sil"]),
    (112, ["rdi", "edi", "di", "dil"]),
    // Of the address of the instruction, nobody names parts.
    (128, ["rip", "", "", ""]),
    (152, ["rsp", "esp", "sp", "spl"]),
];

/// A register, or its lowest bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Register {
    offset: u16,
    width: u8,
}

impl Register {
    /// Where a function's result is.
    pub const RESULT: Self = Self { offset: 80, width: 8 };
    /// The address of the instruction.
    pub const INSTRUCTION: Self = Self { offset: 128, width: 8 };
    /// The address of the innermost value on the stack.
    pub const STACK: Self = Self { offset: 152, width: 8 };

    /// A register by its name in the assembler; `None` = there is none.
    pub fn named(name: &str) -> Option<Self> {
        REGISTERS.iter().find_map(|(offset, names)| {
            let place = names.iter().position(|one| *one == name && !name.is_empty())?;
            Some(Self { offset: *offset, width: 8 >> place })
        })
    }

    /// Where it is in `struct pt_regs`, bytes.
    pub fn offset(self) -> u16 {
        self.offset
    }

    /// Bytes: 8, 4, 2 or 1.
    pub fn width(self) -> u8 {
        self.width
    }

    /// The member of `struct pt_regs` in the kernel's own types that has all of it: `ax` of `rax`, `r15` of `r15`.
    pub fn member(self) -> &'static str {
        let name =
            REGISTERS.iter().find(|(offset, _)| *offset == self.offset).map_or("", |(_, names)| names[0]);
        let short =
            name.strip_prefix('r').filter(|rest| !rest.starts_with(|first: char| first.is_ascii_digit()));
        short.unwrap_or(name)
    }
}

/// Its name.
impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = REGISTERS.iter().find(|(offset, _)| *offset == self.offset);
        let place = self.width.checked_ilog2().map_or(0, |bits| 3_usize.saturating_sub(bits as usize));
        f.write_str(names.and_then(|(_, names)| names.get(place)).unwrap_or(&""))
    }
}

impl fmt::Debug for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One register that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// The register. Of four bytes the rest becomes zero, of fewer it stays, as when the processor writes.
    pub to: Register,
    /// What is written.
    pub value: AssignedValue,
}

/// As policies write it: `rax=8(%rsp)`.
impl fmt::Display for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.to)?;
        match self.value {
            AssignedValue::Number(number) => write!(f, "{number}"),
            AssignedValue::Register(register, 0) => write!(f, "%{register}"),
            AssignedValue::Register(register, plus) => write!(f, "{plus}%{register}"),
            AssignedValue::Memory(register, 0) => write!(f, "(%{register})"),
            AssignedValue::Memory(register, plus) => write!(f, "{plus}(%{register})"),
        }
    }
}

/// What is written to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssignedValue {
    /// A number.
    Number(i64),
    /// What a register has, and so many more.
    Register(Register, i64),
    /// The eight bytes in the program's memory so many behind the address that a register has.
    Memory(Register, i64),
}

/// What `Override` does to a program at one of its functions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RegistersAction {
    /// What is written, one after the other; all or nothing.
    pub assignments: Vec<Assignment>,
    /// The function that is executed instead.
    pub function: Option<FunctionName>,
    /// The function returns at once, which it can only at its beginning.
    pub returns: bool,
}

impl RegistersAction {
    /// The function returns this number instead of doing anything.
    pub fn returning(number: i64) -> Self {
        let set = |to, value| Assignment { to, value };
        let assignments = vec![
            set(Register::RESULT, AssignedValue::Number(number)),
            set(Register::INSTRUCTION, AssignedValue::Memory(Register::STACK, 0)),
            set(Register::STACK, AssignedValue::Register(Register::STACK, 8)),
        ];
        Self { assignments, function: None, returns: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_known_by_their_names() {
        for (offset, names) in REGISTERS {
            for (name, width) in names.iter().zip([8, 4, 2, 1]).filter(|(name, _)| !name.is_empty()) {
                let register = Register::named(name).unwrap();
                assert_eq!((register.offset(), register.width()), (offset, width), "{name}");
                assert_eq!(register.to_string(), *name);
            }
        }
        for name in ["", "RAX", "%rax", "ah", "eip", "xmm0", "orig_rax"] {
            assert_eq!(Register::named(name), None, "{name}");
        }
        assert_eq!(Register::RESULT.to_string() + &Register::INSTRUCTION.to_string(), "raxrip");
        assert_eq!(Register::named("spl").unwrap().offset(), Register::STACK.offset());
        for (name, member) in [("rax", "ax"), ("bpl", "bp"), ("rip", "ip"), ("r15", "r15"), ("r8d", "r8")] {
            assert_eq!(Register::named(name).unwrap().member(), member);
        }
    }
}
