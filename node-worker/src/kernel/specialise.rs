//! Programs cut down to what one hook point uses, before the kernel sees them.
//!
//! A program holds the code for every shape: 19,000 instructions, of which a hook point runs 2,000 to 4,000. The kernel
//! would remove the rest too, but it copies the whole program and what it knows of each instruction for every piece that
//! it removes or rewrites; that was most of the cost of loading. Here the same is done in three passes.
//!
//! Conditional constant propagation over registers: a number is known when it comes from an immediate, from the
//! program's constants, or from computing with such; a branch on known numbers has one way out; what no way leads to is
//! left out. Memory other than the constants is never known, and nothing is known where a function begins. So each
//! function is looked at once, and what is left out cannot run. Then, by what registers are read for, what gives something that
//! nobody reads ([`super::liveness`]).

use super::instruction::{Flow, Instruction, MOVE, class, decode};
use super::liveness::mark_unread;
use std::os::fd::RawFd;

/// Registers of a program; the last one is the frame pointer.
pub(super) const REGISTERS: usize = 11;
/// Bytes of an entry of `func_info`: instruction, type.
const FUNC_INFO_BYTES: usize = 8;

/// A program, or what is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) instructions: Vec<u8>,
    /// Where functions begin (`struct bpf_func_info`), in order.
    pub(super) func_info: Vec<u8>,
}

/// The program's constants: what reads of the map behind `descriptor` give.
#[derive(Debug, Clone, Copy)]
pub(super) struct Constants<'a> {
    pub(super) descriptor: RawFd,
    pub(super) bytes: &'a [u8],
}

/// What is left of a program with these constants. `None` when it has something that is not understood here: the kernel
/// then gets the whole.
pub(super) fn specialise(code: &Code, constants: Constants<'_>) -> Option<Code> {
    let instructions = decode(&code.instructions)?;
    let mut analysis = Analysis::new(&instructions, constants)?;
    analysis.run()?;
    let mut found = analysis.found;
    mark_unread(&instructions, &mut found)?;
    Rewriter::new(&instructions, &found).code(&code.func_info)
}

/// What is known of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Unknown,
    Number(u64),
    /// Address of a byte of the constants.
    Constant(u64),
}

type State = [Value; REGISTERS];

/// What became of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing leads to it.
    Unreached,
    /// It stays as it is.
    Kept,
    /// A branch that is always taken.
    Taken,
    /// A branch that is never taken.
    Ignored,
    /// It gives this number.
    Gives(u64),
    /// It gives what nobody reads.
    Unread,
}

struct Analysis<'a> {
    code: &'a [Instruction],
    constants: Constants<'a>,
    /// What holds before an instruction that is jumped to, whichever way leads there.
    before: Vec<Option<Box<State>>>,
    is_target: Vec<bool>,
    work: Vec<usize>,
    found: Vec<Fate>,
}

impl<'a> Analysis<'a> {
    fn new(code: &'a [Instruction], constants: Constants<'a>) -> Option<Self> {
        let mut is_target = vec![false; code.len()];
        let mut index = 0;
        while index < code.len() {
            if let Flow::Jump(target) | Flow::Branch(target) = code[index].flow(index)? {
                *is_target.get_mut(target)? = true;
            }
            index += if code[index].is_wide() { 2 } else { 1 };
        }
        let found = vec![Fate::Unreached; code.len()];
        Some(Self { code, constants, before: vec![None; code.len()], is_target, work: Vec::new(), found })
    }

    fn run(&mut self) -> Option<()> {
        self.enter(0)?;
        while let Some(start) = self.work.pop() {
            let state = **self.before[start].as_ref()?;
            self.walk(start, state)?;
        }
        Some(())
    }

    /// A function begins at `index`.
    fn enter(&mut self, index: usize) -> Option<()> {
        *self.is_target.get_mut(index)? = true;
        self.lead_to(index, &[Value::Unknown; REGISTERS])
    }

    /// A way leads to `index`, where this holds.
    fn lead_to(&mut self, index: usize, state: &State) -> Option<()> {
        let slot = self.before.get_mut(index)?;
        let Some(known) = slot else {
            *slot = Some(Box::new(*state));
            self.work.push(index);
            return Some(());
        };
        let mut changed = false;
        for (known, other) in known.iter_mut().zip(state) {
            if *known != *other && *known != Value::Unknown {
                *known = Value::Unknown;
                changed = true;
            }
        }
        if changed {
            self.work.push(index);
        }
        Some(())
    }

    /// Follows the code from `index` to where it joins other ways. What was found on an earlier walk with more known is
    /// overwritten.
    fn walk(&mut self, mut index: usize, mut state: State) -> Option<()> {
        loop {
            let instruction = *self.code.get(index)?;
            self.found[index] = Fate::Kept;
            let mut next = index + 1;
            match instruction.flow(index)? {
                Flow::Next if instruction.is_wide() => {
                    *self.found.get_mut(next)? = Fate::Kept;
                    self.wide(instruction, index, &mut state)?;
                    next += 1;
                }
                Flow::Next => self.compute(instruction, index, &mut state)?,
                Flow::Jump(target) => return self.lead_to(target, &state),
                Flow::Branch(target) => match holds(instruction, &state) {
                    Some(true) => {
                        self.found[index] = Fate::Taken;
                        return self.lead_to(target, &state);
                    }
                    Some(false) => self.found[index] = Fate::Ignored,
                    None => self.lead_to(target, &state)?,
                },
                Flow::Call(function) => {
                    self.enter(function)?;
                    state[..=5].fill(Value::Unknown);
                }
                Flow::Helper => state[..=5].fill(Value::Unknown),
                Flow::Exit => return Some(()),
            }
            if *self.is_target.get(next)? {
                return self.lead_to(next, &state);
            }
            index = next;
        }
    }

    fn wide(&mut self, instruction: Instruction, index: usize, state: &mut State) -> Option<()> {
        let high = self.code.get(index + 1)?.immediate;
        let value = if instruction.names_map(self.constants.descriptor) {
            Value::Constant(u64::from(high.cast_unsigned()))
        } else if let Some(function) = instruction.function_taken(index) {
            self.enter(function)?;
            Value::Unknown
        } else if instruction.from == 0 {
            Value::Number(
                u64::from(high.cast_unsigned()) << 32 | u64::from(instruction.immediate.cast_unsigned()),
            )
        } else {
            Value::Unknown
        };
        *state.get_mut(usize::from(instruction.to))? = value;
        Some(())
    }

    fn compute(&mut self, instruction: Instruction, index: usize, state: &mut State) -> Option<()> {
        let (to, from) = (usize::from(instruction.to), usize::from(instruction.from));
        if to >= REGISTERS || from >= REGISTERS {
            return None;
        }
        match instruction.class() {
            class::ALU | class::ALU64 => {
                state[to] = arithmetic(instruction, state);
                if let Value::Number(number) = state[to] {
                    self.found[index] = Fate::Gives(number);
                }
            }
            class::LDX => {
                let loaded = self.load(instruction, state[from]);
                if let Some(number) = loaded {
                    self.found[index] = Fate::Gives(number);
                }
                state[to] = loaded.map_or(Value::Unknown, Value::Number);
            }
            class::ST => {}
            class::STX => {
                // Atomic operations may bring the old value back, into the source or into register 0.
                const MODE_ATOMIC: u8 = 0xc0;
                if instruction.code & 0xe0 == MODE_ATOMIC {
                    (state[0], state[to], state[from]) = (Value::Unknown, Value::Unknown, Value::Unknown);
                }
            }
            // Loads from packets.
            _ => return None,
        }
        Some(())
    }

    /// What a load from the constants gives.
    fn load(&self, instruction: Instruction, address: Value) -> Option<u64> {
        let Value::Constant(base) = address else { return None };
        let begin = usize::try_from(base.checked_add_signed(i64::from(instruction.offset))?).ok()?;
        let length = instruction.loaded_bytes()?;
        let bytes = self.constants.bytes.get(begin..begin.checked_add(length)?)?;
        let mut number = [0; 8];
        number[..length].copy_from_slice(bytes);
        Some(u64::from_le_bytes(number))
    }
}

/// The second operand of an arithmetic instruction or a branch.
fn operand(instruction: Instruction, state: &State) -> Value {
    if instruction.takes_register() {
        state.get(usize::from(instruction.from)).copied().unwrap_or(Value::Unknown)
    } else {
        Value::Number(i64::from(instruction.immediate).cast_unsigned())
    }
}

/// What an arithmetic instruction gives.
fn arithmetic(instruction: Instruction, state: &State) -> Value {
    const ADD: u8 = 0x00;
    let wide = instruction.class() == class::ALU64;
    let (left, right) = (state[usize::from(instruction.to)], operand(instruction, state));
    if instruction.offset != 0 {
        // Signed division, moves that extend a sign.
        return Value::Unknown;
    }
    match (instruction.operation(), left, right) {
        (MOVE, _, right) if wide => right,
        (MOVE, _, Value::Number(right)) => Value::Number(right & 0xffff_ffff),
        (ADD, Value::Constant(base), Value::Number(more)) if wide => Value::Constant(base.wrapping_add(more)),
        (operation, Value::Number(left), Value::Number(right)) => {
            let result = if wide {
                wide_result(operation, left, right)
            } else {
                narrow_result(operation, left as u32, right as u32).map(u64::from)
            };
            result.map_or(Value::Unknown, Value::Number)
        }
        _ => Value::Unknown,
    }
}

fn wide_result(operation: u8, left: u64, right: u64) -> Option<u64> {
    Some(match operation {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x20 => left.wrapping_mul(right),
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left.wrapping_shl(right as u32),
        0x70 => left.wrapping_shr(right as u32),
        0xa0 => left ^ right,
        0xc0 => left.cast_signed().wrapping_shr(right as u32).cast_unsigned(),
        // Division, remainder, negation, byte order: rare, and left to the kernel.
        _ => return None,
    })
}

fn narrow_result(operation: u8, left: u32, right: u32) -> Option<u32> {
    Some(match operation {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x20 => left.wrapping_mul(right),
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left.wrapping_shl(right),
        0x70 => left.wrapping_shr(right),
        0xa0 => left ^ right,
        0xc0 => left.cast_signed().wrapping_shr(right).cast_unsigned(),
        _ => return None,
    })
}

/// Whether a branch is taken; `None` = that is not known.
fn holds(instruction: Instruction, state: &State) -> Option<bool> {
    let left = state.get(usize::from(instruction.to)).copied()?;
    let (Value::Number(mut left), Value::Number(mut right)) = (left, operand(instruction, state)) else {
        return None;
    };
    let (mut left_signed, mut right_signed) = (left.cast_signed(), right.cast_signed());
    if instruction.class() == class::JMP32 {
        (left, right) = (left & 0xffff_ffff, right & 0xffff_ffff);
        left_signed = i64::from((left as u32).cast_signed());
        right_signed = i64::from((right as u32).cast_signed());
    }
    Some(match instruction.operation() {
        0x10 => left == right,
        0x20 => left > right,
        0x30 => left >= right,
        0x40 => left & right != 0,
        0x50 => left != right,
        0x60 => left_signed > right_signed,
        0x70 => left_signed >= right_signed,
        0xa0 => left < right,
        0xb0 => left <= right,
        0xc0 => left_signed < right_signed,
        0xd0 => left_signed <= right_signed,
        _ => return None,
    })
}

/// Writes what is left.
struct Rewriter<'a> {
    code: &'a [Instruction],
    found: &'a [Fate],
    kept: Vec<bool>,
    /// By instruction: how many before it are kept, which is the number of the first that is kept from there on.
    numbers: Vec<usize>,
}

impl<'a> Rewriter<'a> {
    fn new(code: &'a [Instruction], found: &'a [Fate]) -> Self {
        let mut kept = vec![false; code.len()];
        let mut above = code.len();
        for index in (0..code.len()).rev() {
            let leads_on = match (found[index], code[index].flow(index)) {
                (Fate::Unreached | Fate::Ignored | Fate::Unread, _) => true,
                // A jump over nothing.
                (Fate::Taken, Some(Flow::Branch(target))) | (_, Some(Flow::Jump(target))) => {
                    target > index && above >= target
                }
                _ => false,
            };
            if !leads_on {
                kept[index] = true;
                above = index;
            }
        }
        let mut numbers = Vec::with_capacity(code.len() + 1);
        let mut count = 0;
        numbers.push(0);
        for kept in &kept {
            count += usize::from(*kept);
            numbers.push(count);
        }
        Self { code, found, kept, numbers }
    }

    fn code(&self, func_info: &[u8]) -> Option<Code> {
        let mut instructions =
            Vec::with_capacity(self.numbers.last()? * super::instruction::INSTRUCTION_BYTES);
        let mut second_half = false;
        for index in (0..self.code.len()).filter(|index| self.kept[*index]) {
            let instruction = self.code[index];
            // The second half of a wide load has no code.
            let written = if second_half { instruction } else { self.instruction(index, instruction)? };
            second_half = !second_half && instruction.is_wide();
            instructions.extend_from_slice(&written.write());
        }
        Some(Code { instructions, func_info: self.func_info(func_info)? })
    }

    fn instruction(&self, index: usize, instruction: Instruction) -> Option<Instruction> {
        if let Fate::Gives(number) = self.found[index] {
            return Some(Instruction::put(instruction.to, number).unwrap_or(instruction));
        }
        let target = match instruction.flow(index)? {
            Flow::Jump(target) | Flow::Branch(target) | Flow::Call(target) => target,
            Flow::Next => match instruction.function_taken(index) {
                Some(function) => function,
                None => return Some(instruction),
            },
            Flow::Helper | Flow::Exit => return Some(instruction),
        };
        let distance = self.numbers.get(target)?.cast_signed() - self.numbers[index].cast_signed() - 1;
        let instruction = if self.found[index] == Fate::Taken { Instruction::jump(0) } else { instruction };
        instruction.led_to(distance)
    }

    fn func_info(&self, func_info: &[u8]) -> Option<Vec<u8>> {
        let (entries, rest) = func_info.as_chunks::<FUNC_INFO_BYTES>();
        if !rest.is_empty() {
            return None;
        }
        let mut left = Vec::with_capacity(func_info.len());
        for [a, b, c, d, kind @ ..] in entries {
            let index = u32::from_ne_bytes([*a, *b, *c, *d]) as usize;
            if *self.found.get(index)? == Fate::Unreached {
                continue;
            }
            left.extend_from_slice(&(self.numbers[index] as u32).to_ne_bytes());
            left.extend_from_slice(kind);
        }
        Some(left)
    }
}

#[cfg(test)]
#[path = "specialise_tests.rs"]
mod tests;
