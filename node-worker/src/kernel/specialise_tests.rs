#![allow(
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_lossless,
    reason = "an interpreter of instructions takes registers as signed or not, as the instruction says"
)]
use super::super::instruction::{LOAD_WIDE, PSEUDO_MAP_VALUE};
use super::*;
use proptest::prelude::*;

const DESCRIPTOR: RawFd = 77;
const BYTES: [u8; 16] = [3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 9, 8, 7, 6, 5, 4, 3, 2];
const EXIT: Instruction = Instruction { code: 0x95, to: 0, from: 0, offset: 0, immediate: 0 };

fn op(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, to, from, offset, immediate }
}

/// The address of the constants, as two instructions.
fn constants(to: u8, offset: i32) -> [Instruction; 2] {
    [op(LOAD_WIDE, to, PSEUDO_MAP_VALUE, 0, DESCRIPTOR), op(0, 0, 0, 0, offset)]
}

fn bytes(code: &[Instruction]) -> Vec<u8> {
    code.iter().flat_map(|instruction| instruction.write()).collect()
}

fn func_info(begins: &[u32]) -> Vec<u8> {
    begins.iter().flat_map(|begin| [begin.to_ne_bytes(), (begin + 100).to_ne_bytes()].concat()).collect()
}

fn specialised(code: &[Instruction], begins: &[u32]) -> Option<(Vec<Instruction>, Vec<u8>)> {
    let code = Code { instructions: bytes(code), func_info: func_info(begins) };
    let left = specialise(&code, Constants { descriptor: DESCRIPTOR, bytes: &BYTES })?;
    Some((decode(&left.instructions).unwrap(), left.func_info))
}

#[test]
fn branches_on_constants_go() {
    let [high, low] = constants(1, 0);
    let code = [
        high,
        low,
        op(0x61, 2, 1, 0, 0),
        // if r2 == 3: to the second return
        op(0x15, 2, 0, 2, 3),
        op(0xb7, 0, 0, 0, 1),
        EXIT,
        op(0xb7, 0, 0, 0, 2),
        EXIT,
    ];
    let (left, _) = specialised(&code, &[0]).unwrap();
    // The branch is taken and leads over nothing; then nobody reads what was loaded for it.
    assert_eq!(left, [op(0xb7, 0, 0, 0, 2), EXIT]);
}

#[test]
fn loads_of_constants_become_numbers() {
    let [high, low] = constants(1, 0);
    // r0 = the first word, and one more
    let code = [high, low, op(0x61, 0, 1, 0, 0), op(0x07, 0, 0, 0, 1), EXIT];
    assert_eq!(specialised(&code, &[0]).unwrap().0, [op(0xb7, 0, 0, 0, 4), EXIT]);
    // What is added to is not known.
    let code = [high, low, op(0x61, 0, 1, 0, 0), op(0x0f, 0, 2, 0, 0), EXIT];
    assert_eq!(specialised(&code, &[0]).unwrap().0, [op(0xb7, 0, 0, 0, 3), op(0x0f, 0, 2, 0, 0), EXIT]);
}

#[test]
fn what_nobody_reads_goes_but_for_what_it_does() {
    let stack = |code, offset| op(code, 10, 3, offset, 0);
    let code = [
        // Only the second one is read, by the store; loads go, stores do not.
        op(0xb7, 3, 0, 0, 1),
        op(0xb7, 3, 0, 0, 2),
        stack(0x7b, -8),
        op(0x79, 4, 10, -8, 0),
        // A chain that ends in nothing, and around a loop.
        op(0xbf, 6, 4, 0, 0),
        op(0x07, 6, 0, 0, 1),
        op(0xb7, 0, 0, 0, 0),
        op(0x07, 0, 0, 0, 1),
        op(0x0f, 7, 6, 0, 0),
        op(0xa5, 0, 0, -3, 9),
        EXIT,
    ];
    let left = [code[1], code[2], code[6], code[7], op(0xa5, 0, 0, -2, 9), EXIT];
    assert_eq!(specialised(&code, &[0]).unwrap().0, left);
}

#[test]
fn arguments_of_calls_are_read() {
    let put = |register| op(0xb7, register, 0, 0, i32::from(register));
    let puts = [put(1), put(2), put(3), put(4), put(5)];
    let left = |helper: i32| {
        let code = [&puts[..], &[op(0x85, 0, 0, 0, helper), EXIT]].concat();
        specialised(&code, &[0]).unwrap().0.len() - 2
    };
    // map_lookup_elem, probe_read_kernel, loop, get_current_pid_tgid, one that is not listed
    assert_eq!([1, 113, 181, 14, 999].map(left), [2, 3, 4, 0, 5]);
    let code = [&puts[..], &[op(0x85, 0, 1, 0, 1), EXIT, op(0xb7, 0, 0, 0, 1), EXIT]].concat();
    assert_eq!(specialised(&code, &[0, 7]).unwrap().0.len(), code.len(), "a function has them all");
}

#[test]
fn branches_on_what_is_not_known_stay() {
    let code = [op(0x15, 1, 0, 1, 3), op(0xb7, 0, 0, 0, 1), EXIT];
    assert_eq!(specialised(&code, &[0]).unwrap().0, code);
    // Two ways bring two numbers.
    let code = [
        op(0xb7, 2, 0, 0, 1),
        op(0x15, 1, 0, 1, 3),
        op(0xb7, 2, 0, 0, 2),
        op(0x15, 2, 0, 1, 1),
        op(0xb7, 0, 0, 0, 1),
        EXIT,
    ];
    assert_eq!(specialised(&code, &[0]).unwrap().0, code);
}

#[test]
fn a_loop_forgets_what_it_changes() {
    let code =
        [op(0xb7, 2, 0, 0, 1), op(0x07, 2, 0, 0, 1), op(0xa5, 2, 0, -2, 9), op(0xbf, 0, 2, 0, 0), EXIT];
    assert_eq!(specialised(&code, &[0]).unwrap().0, code);
}

#[test]
fn functions_that_nothing_calls_go() {
    let code = [
        op(0xb7, 6, 0, 0, 0),
        // if r6 != 0: skip nothing; else skip the first call
        op(0x15, 6, 0, 1, 0),
        op(0x85, 0, 1, 0, 2),
        op(0x85, 0, 1, 0, 3),
        EXIT,
        op(0xb7, 0, 0, 0, 5),
        EXIT,
        op(0xb7, 0, 0, 0, 7),
        EXIT,
    ];
    let (left, info) = specialised(&code, &[0, 5, 7]).unwrap();
    assert_eq!(left, [op(0x85, 0, 1, 0, 1), EXIT, code[7], EXIT]);
    let kept: Vec<u8> = [0u32, 100, 2, 107].iter().flat_map(|word| word.to_ne_bytes()).collect();
    assert_eq!(info, kept);
}

#[test]
fn functions_that_are_called_back_stay() {
    let code = [
        op(LOAD_WIDE, 2, 4, 0, 3),
        op(0, 0, 0, 0, 0),
        op(0x85, 0, 0, 0, 181),
        EXIT,
        code_of_callback(),
        EXIT,
    ];
    let (left, info) = specialised(&code, &[0, 4]).unwrap();
    assert_eq!(left, code);
    assert_eq!(info, func_info(&[0, 4]));
}

fn code_of_callback() -> Instruction {
    op(0xb7, 0, 0, 0, 0)
}

#[test]
fn calls_and_atomic_operations_change_registers() {
    for change in [op(0x85, 0, 0, 0, 1), op(0xdb, 10, 0, -8, 0xe1)] {
        let code = [op(0xb7, 0, 0, 0, 1), change, op(0x15, 0, 0, 1, 1), op(0xb7, 0, 0, 0, 9), EXIT];
        let left = specialised(&code, &[0]).unwrap().0;
        // What a call overwrites need not be there.
        assert!(left.ends_with(&code[1..]), "{left:?}");
    }
}

#[test]
fn what_is_not_understood_is_left_to_the_kernel() {
    // A long jump, a load from a packet, a jump out of the program, the end of the program without an exit.
    let starts = [op(0x06, 0, 0, 0, 0), op(0x20, 0, 0, 0, 0), op(0x05, 0, 0, 9, 0), op(0xb7, 0, 0, 0, 0)];
    for (start, rest) in starts.into_iter().zip([&[EXIT][..], &[EXIT], &[EXIT], &[]]) {
        assert_eq!(specialised(&[&[start], rest].concat(), &[0]), None, "{start:?}");
    }
}

/// Runs a program without memory but the constants; `None` = it does not end soon.
fn run(code: &[Instruction], mut registers: [u64; 6]) -> Option<u64> {
    let mut at = 0;
    for _ in 0..1000 {
        let it = code[at];
        let to = usize::from(it.to);
        at += 1;
        let right = if it.takes_register() {
            registers[usize::from(it.from)]
        } else {
            i64::from(it.immediate) as u64
        };
        match it.class() {
            class::LD => {
                let high = u64::from(code[at].immediate as u32);
                registers[to] =
                    if it.from == 0 { high << 32 | u64::from(it.immediate as u32) } else { 1 << 40 | high };
                at += 1;
            }
            class::LDX => {
                let address = registers[usize::from(it.from)];
                let begin =
                    (address.wrapping_sub(1 << 40) as usize).wrapping_add_signed(isize::from(it.offset));
                // What is no constant is memory that reads as zero.
                let length = it.loaded_bytes().unwrap();
                let mut number = [0; 8];
                if let Some(found) = begin.checked_add(length).and_then(|end| BYTES.get(begin..end)) {
                    number[..length].copy_from_slice(found);
                }
                registers[to] = u64::from_le_bytes(number);
            }
            class::ALU64 | class::ALU => registers[to] = computed(it, registers[to], right),
            _ if it.code == EXIT.code => return Some(registers[0]),
            _ if it.code == 0x05 => at = at.checked_add_signed(isize::from(it.offset)).unwrap(),
            _ => {
                if taken(it, registers[to], right) {
                    at = at.checked_add_signed(isize::from(it.offset)).unwrap();
                }
            }
        }
    }
    None
}

/// What an arithmetic instruction gives.
fn computed(it: Instruction, left: u64, right: u64) -> u64 {
    let narrow = it.class() == class::ALU;
    let cut = |number: u64| if narrow { number & 0xffff_ffff } else { number };
    let (left, right) = (cut(left), cut(right));
    let bits = if narrow { 31 } else { 63 };
    cut(match it.operation() {
        0x00 => left.wrapping_add(right),
        0x10 => left.wrapping_sub(right),
        0x20 => left.wrapping_mul(right),
        0x30 => left.checked_div(right).unwrap_or(0),
        0x40 => left | right,
        0x50 => left & right,
        0x60 => left << (right & bits),
        0x70 => left >> (right & bits),
        0xa0 => left ^ right,
        0xb0 => right,
        0xc0 if narrow => (left as u32 as i32 >> (right & bits)) as u32 as u64,
        0xc0 => (left as i64 >> (right & bits)) as u64,
        other => unreachable!("{other}"),
    })
}

/// Whether a branch is taken.
fn taken(it: Instruction, left: u64, right: u64) -> bool {
    let narrow = it.class() == class::JMP32;
    let cut = |number: u64| if narrow { number & 0xffff_ffff } else { number };
    let sign = |number: u64| if narrow { i64::from(number as u32 as i32) } else { number as i64 };
    match it.operation() {
        0x10 => cut(left) == cut(right),
        0x20 => cut(left) > cut(right),
        0x30 => cut(left) >= cut(right),
        0x40 => cut(left) & cut(right) != 0,
        0x50 => cut(left) != cut(right),
        0x60 => sign(left) > sign(right),
        0x70 => sign(left) >= sign(right),
        0xa0 => cut(left) < cut(right),
        0xb0 => cut(left) <= cut(right),
        0xc0 => sign(left) < sign(right),
        0xd0 => sign(left) <= sign(right),
        other => unreachable!("{other}"),
    }
}

/// One step of a made-up program; jumps by a number of steps.
#[derive(Debug, Clone)]
enum Step {
    Plain(Instruction),
    Wide(u8, u8, i32),
    Jump(Instruction, i8),
}

fn immediates() -> impl Strategy<Value = i32> {
    prop_oneof![-2i32..12, any::<i32>()]
}

fn steps() -> impl Strategy<Value = Step> {
    let registers = || (0u8..6, 0u8..6);
    let operations =
        prop::sample::select(vec![0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xb0, 0xc0]);
    let plain = (operations, any::<bool>(), any::<bool>(), registers(), immediates()).prop_map(
        |(operation, wide, register, (to, from), immediate)| {
            let code = operation | if wide { class::ALU64 } else { class::ALU } | u8::from(register) << 3;
            let from = if register { from } else { 0 };
            Step::Plain(op(code, to, from, 0, if register { 0 } else { immediate }))
        },
    );
    let load = (prop::sample::select(vec![0x61, 0x69, 0x71, 0x79]), registers(), -2i16..18)
        .prop_map(|(code, (to, from), offset)| Step::Plain(op(code, to, from, offset, 0)));
    let wide = (0u8..6, prop::bool::weighted(0.7), 0i32..16)
        .prop_map(|(to, constant, low)| Step::Wide(to, if constant { PSEUDO_MAP_VALUE } else { 0 }, low));
    let conditions = vec![0x05u8, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0];
    let jump =
        (prop::sample::select(conditions), any::<bool>(), any::<bool>(), registers(), immediates(), -4i8..12)
            .prop_map(|(condition, wide, register, (to, from), immediate, by)| {
                if condition == 0x05 {
                    return Step::Jump(op(0x05, 0, 0, 0, 0), by);
                }
                let code = condition | if wide { class::JMP } else { class::JMP32 } | u8::from(register) << 3;
                let from = if register { from } else { 0 };
                Step::Jump(op(code, to, from, 0, if register { 0 } else { immediate }), by)
            });
    prop_oneof![3 => plain, 2 => load, 2 => wide, 2 => jump]
}

/// Sets jumps right and ends the program.
fn program(steps: &[Step]) -> Vec<Instruction> {
    let width = |step: &Step| if matches!(step, Step::Wide(..)) { 2 } else { 1 };
    let mut starts = vec![0usize];
    for step in steps {
        starts.push(starts.last().unwrap() + width(step));
    }
    let mut code = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Plain(instruction) => code.push(*instruction),
            Step::Wide(to, from, low) => {
                let [first, second] = if *from == 0 { [*low, low % 2] } else { [DESCRIPTOR, *low] };
                code.extend([op(LOAD_WIDE, *to, *from, 0, first), op(0, 0, 0, 0, second)]);
            }
            Step::Jump(instruction, by) => {
                let target = (number as isize + 1 + isize::from(*by)).clamp(0, steps.len() as isize) as usize;
                let offset = starts[target] as isize - starts[number] as isize - 1;
                code.push(Instruction { offset: offset as i16, ..*instruction });
            }
        }
    }
    code.push(EXIT);
    code
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_is_left_does_what_the_whole_does(
        steps in prop::collection::vec(steps(), 1..40),
        inputs in prop::collection::vec(prop::array::uniform6(prop_oneof![0u64..12, any::<u64>()]), 4),
    ) {
        let whole = program(&steps);
        let (left, _) = specialised(&whole, &[0]).unwrap();
        prop_assert!(left.len() <= whole.len());
        for registers in inputs {
            // Programs that do not end are not accepted by the kernel.
            if let Some(expected) = run(&whole, registers) {
                prop_assert_eq!(run(&left, registers), Some(expected), "{:?}\n{:?}", whole, left);
            }
        }
    }
}
