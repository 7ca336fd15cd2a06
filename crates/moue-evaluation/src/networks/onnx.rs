//! As much of ONNX as it takes to find a network's constants: its protocol buffers, read without their schema.
//!
//! Field numbers are those of `onnx.proto` (Apache-2.0, github.com/onnx/onnx), which never change.

use std::collections::BTreeMap;
use std::path::Path;

use moue::base::error::Result;

use super::layers::damaged;

/// A network's nodes in their order and its constants by name, those of f32.
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    /// Shape and values.
    pub(super) constants: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

/// An operation on named values.
pub(super) struct Node {
    pub(super) operation: String,
    pub(super) inputs: Vec<String>,
}

/// A field of a message: its number and what it holds.
enum Field<'a> {
    /// An integer, or the bits of a fixed number.
    Number(u64),
    /// Text, bytes, a message, or packed numbers.
    Bytes(&'a [u8]),
}

/// The graph of a model.
pub(super) fn read(file: &[u8], path: &Path) -> Result<Graph> {
    graph(file).ok_or_else(|| damaged(path, "no ONNX model, or one that is cut off"))
}

/// ModelProto: graph = 7. GraphProto: node = 1, initializer = 5.
fn graph(file: &[u8]) -> Option<Graph> {
    let mut found = Graph { nodes: Vec::new(), constants: BTreeMap::new() };
    let graph = bytes(&fields(file)?, 7).next()?;
    let graph = fields(graph)?;
    for tensor in bytes(&graph, 5) {
        if let (name, Some(values)) = tensor_of(tensor)? {
            found.constants.insert(name, values);
        }
    }
    for message in bytes(&graph, 1) {
        node(message, &mut found)?;
    }
    Some(found)
}

/// NodeProto: input = 1, output = 2, op_type = 4, attribute = 5. AttributeProto: t = 5.
fn node(message: &[u8], graph: &mut Graph) -> Option<()> {
    let fields_of_node = fields(message)?;
    let texts = |number| bytes(&fields_of_node, number).map(text).collect::<Option<Vec<_>>>();
    let (inputs, outputs) = (texts(1)?, texts(2)?);
    let operation = texts(4)?.pop()?;
    if operation == "Constant" {
        for attribute in bytes(&fields_of_node, 5) {
            for tensor in bytes(&fields(attribute)?, 5) {
                if let (_, Some(values)) = tensor_of(tensor)? {
                    graph.constants.insert(outputs.first()?.clone(), values);
                }
            }
        }
    }
    graph.nodes.push(Node { operation, inputs });
    Some(())
}

/// A name and, where the tensor is of f32, its shape and values.
type Named = (String, Option<(Vec<usize>, Vec<f32>)>);

/// TensorProto: dims = 1, data_type = 2 (f32 is 1), float_data = 4, name = 8, raw_data = 9.
fn tensor_of(message: &[u8]) -> Option<Named> {
    let all = fields(message)?;
    let mut shape = Vec::new();
    for (number, field) in &all {
        match (number, field) {
            (1, Field::Number(side)) => shape.push(usize::try_from(*side).ok()?),
            (1, Field::Bytes(packed)) => {
                let mut packed = *packed;
                while !packed.is_empty() {
                    shape.push(usize::try_from(variable(&mut packed)?).ok()?);
                }
            }
            _ => {}
        }
    }
    let kind = all.iter().find_map(|(number, field)| match (number, field) {
        (2, Field::Number(kind)) => Some(*kind),
        _ => None,
    });
    let name = bytes(&all, 8).next().map_or(Some(String::new()), text)?;
    if kind != Some(1) {
        return Some((name, None));
    }
    let data = bytes(&all, 9).next().or_else(|| bytes(&all, 4).next()).unwrap_or_default();
    let values: Vec<_> = data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    let length = shape.iter().try_fold(1, |length, side| usize::checked_mul(length, *side))?;
    (values.len() == length && data.len() == 4 * length).then_some((name, Some((shape, values))))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// What a message's fields of this number hold.
fn bytes<'a, 'b>(
    fields: &'b [(u64, Field<'a>)],
    wanted: u64,
) -> impl Iterator<Item = &'a [u8]> + use<'a, 'b> {
    fields.iter().filter_map(move |(number, field)| match field {
        Field::Bytes(bytes) if *number == wanted => Some(*bytes),
        _ => None,
    })
}

/// The fields of a message; `None` where it is none.
fn fields(mut message: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut all = Vec::new();
    while !message.is_empty() {
        let key = variable(&mut message)?;
        let field = match key & 7 {
            0 => Field::Number(variable(&mut message)?),
            1 => Field::Number(u64::from_le_bytes(split(&mut message, 8)?.try_into().ok()?)),
            2 => {
                let length = usize::try_from(variable(&mut message)?).ok()?;
                Field::Bytes(split(&mut message, length)?)
            }
            5 => Field::Number(u64::from(u32::from_le_bytes(split(&mut message, 4)?.try_into().ok()?))),
            _ => return None,
        };
        all.push((key >> 3, field));
    }
    Some(all)
}

fn split<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (first, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(first)
}

/// An integer in groups of seven bits, the lowest first.
fn variable(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = split(bytes, 1)?[0];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that holds bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        [vec![number << 3 | 2, bytes.len() as u8], bytes.to_vec()].concat()
    }

    fn model() -> Vec<u8> {
        let values = [1.5f32.to_le_bytes(), (-2f32).to_le_bytes()].concat();
        let tensor = [vec![0x08, 2, 0x10, 1], field(9, &values)].concat();
        let attribute = [field(1, b"value"), field(5, &tensor)].concat();
        let constant = [field(2, b"c"), field(4, b"Constant"), field(5, &attribute)].concat();
        let integers = [vec![0x08, 1, 0x10, 7], field(9, &[0; 8]), field(8, b"axes")].concat();
        let product = [field(1, b"x"), field(1, b"c"), field(2, b"y"), field(4, b"Mul")].concat();
        let packed = [field(1, &[1, 2]), vec![0x10, 1], field(4, &values), field(8, b"w")].concat();
        field(7, &[field(1, &constant), field(1, &product), field(5, &packed), field(5, &integers)].concat())
    }

    #[test]
    fn constants_are_found_in_nodes_and_among_the_initializers() {
        let graph = read(&model(), Path::new("x")).unwrap();
        assert_eq!(graph.constants["c"], (vec![2], vec![1.5, -2.0]));
        assert_eq!(graph.constants["w"], (vec![1, 2], vec![1.5, -2.0]));
        assert_eq!(graph.constants.len(), 2); // the axes are integers
        let product = &graph.nodes[1];
        assert_eq!((product.operation.as_str(), &product.inputs[..]), ("Mul", &["x".into(), "c".into()][..]));
    }

    #[test]
    fn every_cut_is_damage_and_none_a_panic() {
        let model = model();
        for length in 0..model.len() {
            assert!(read(&model[..length], Path::new("x")).is_err(), "{length}");
        }
        assert!(read(&[0xFF; 40], Path::new("x")).is_err());
    }
}
