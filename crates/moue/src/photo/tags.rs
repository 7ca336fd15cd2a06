//! The folders of tags that EXIF and TIFF share (TIFF 6.0, section 2; EXIF 2.32, section 4.6.2): reading them into a
//! tree, and writing a tree at any place of a file.
//!
//! A tree keeps values in the byte order of the block they came from, and is written in the same.

/// The folder of camera settings, a value of the first folder.
pub(super) const EXIF: u16 = 0x8769;
/// The folder of places.
pub(super) const GPS: u16 = 0x8825;
/// A folder inside EXIF's.
pub(super) const INTEROPERABILITY: u16 = 0xA005;
/// How the photo must be turned.
pub(super) const ORIENTATION: u16 = 0x0112;

/// Types of values (TIFF 6.0, section 2).
pub(super) const BYTE: u16 = 1;
pub(super) const SHORT: u16 = 3;
pub(super) const LONG: u16 = 4;
pub(super) const RATIONAL: u16 = 5;
pub(super) const UNDEFINED: u16 = 7;

/// The most that the values of a tree may hold together, in bytes: 16 MiB. Damaged files name the same bytes again
/// and again.
const MOST_BYTES: usize = 16 << 20;

/// One tag of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) tag: u16,
    pub(super) kind: u16,
    pub(super) value: Value,
}

/// What a tag holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Values as they are in the file.
    Bytes(Vec<u8>),
    /// Another folder.
    Folder(Vec<Entry>),
}

/// Bytes an item of a type; `None` for types that nobody knows.
fn size_of(kind: u16) -> Option<usize> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 => Some(8),
        _ => None,
    }
}

/// A tag as it stands in a block, its value not looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw {
    pub(super) tag: u16,
    pub(super) kind: u16,
    /// Where the value is, and its length in bytes; it may lie outside the block.
    pub(super) start: usize,
    pub(super) length: usize,
}

/// A block of bytes with a TIFF header: an EXIF block, or a TIFF file.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) big_endian: bool,
}

impl<'a> Block<'a> {
    /// The block, where it begins with a TIFF header (not BigTIFF's).
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..4)? {
            b"II*\0" => false,
            b"MM\0*" => true,
            _ => return None,
        };
        Some(Self { bytes, big_endian })
    }

    pub(super) fn short(&self, at: usize) -> Option<u16> {
        let pair = self.bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.big_endian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    }

    pub(super) fn long(&self, at: usize) -> Option<u32> {
        let four = self.bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// Where the first folder begins.
    pub(super) fn first(&self) -> Option<usize> {
        self.long(4).map(|at| at as usize)
    }

    /// The tags of the folder at `at`, and where the number is that names the next folder. `None` when the folder
    /// leaves the block.
    pub(super) fn folder(&self, at: usize) -> Option<(Vec<Raw>, usize)> {
        let count = usize::from(self.short(at)?);
        let end = at.checked_add(2 + 12 * count)?;
        self.bytes.get(at..end)?;
        let tags = (0..count).filter_map(|index| {
            let place = at + 2 + 12 * index;
            let kind = self.short(place + 2)?;
            let length = size_of(kind)?.checked_mul(self.long(place + 4)? as usize)?;
            let start = if length <= 4 { place + 8 } else { self.long(place + 8)? as usize };
            Some(Raw { tag: self.short(place)?, kind, start, length })
        });
        Some((tags.collect(), end))
    }

    /// A tag's value; `None` when it lies outside.
    pub(super) fn value(&self, tag: &Raw) -> Option<&'a [u8]> {
        self.bytes.get(tag.start..tag.start.checked_add(tag.length)?)
    }

    /// A tag's first number, if it is a SHORT or a LONG.
    pub(super) fn number(&self, tag: &Raw) -> Option<u32> {
        match tag.kind {
            SHORT if tag.length >= 2 => self.short(tag.start).map(u32::from),
            LONG | 13 if tag.length >= 4 => self.long(tag.start),
            _ => None,
        }
    }

    /// The tree of the folder at `at`, with the folders of EXIF, places and interoperability. Tags for which `keep`
    /// says no, and those whose value lies outside, are left out. `None` when the folder itself lies outside.
    pub(super) fn tree(&self, at: usize, keep: &dyn Fn(u16) -> bool) -> Option<Vec<Entry>> {
        self.subtree(at, keep, &[EXIF, GPS], &mut 0)
    }

    fn subtree(
        &self,
        at: usize,
        keep: &dyn Fn(u16) -> bool,
        folders: &[u16],
        bytes: &mut usize,
    ) -> Option<Vec<Entry>> {
        let mut entries = Vec::new();
        for tag in self.folder(at)?.0.iter().filter(|tag| keep(tag.tag)) {
            let value = if folders.contains(&tag.tag) {
                let below: &[u16] = if tag.tag == EXIF { &[INTEROPERABILITY] } else { &[] };
                let place = self.number(tag).map(|place| place as usize);
                place.and_then(|place| self.subtree(place, &|_| true, below, bytes)).map(Value::Folder)
            } else {
                *bytes = bytes.saturating_add(tag.length);
                let value = if *bytes > MOST_BYTES { None } else { self.value(tag) };
                value.map(|value| Value::Bytes(value.to_vec()))
            };
            entries.extend(value.map(|value| Entry { tag: tag.tag, kind: tag.kind, value }));
        }
        Some(entries)
    }
}

/// Numbers in a byte order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) big_endian: bool,
}

impl Order {
    pub(super) fn short(self, value: u16) -> [u8; 2] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(super) fn long(self, value: u32) -> [u8; 4] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    /// A TIFF header whose first folder follows it.
    pub(super) fn header(self) -> Vec<u8> {
        let mut header = if self.big_endian { b"MM".to_vec() } else { b"II".to_vec() };
        header.extend(self.short(42));
        header.extend(self.long(8));
        header
    }

    /// A tag of SHORTs.
    pub(super) fn shorts(self, tag: u16, values: &[u16]) -> Entry {
        let bytes = values.iter().flat_map(|value| self.short(*value)).collect();
        Entry { tag, kind: SHORT, value: Value::Bytes(bytes) }
    }

    /// A tag of LONGs.
    pub(super) fn longs(self, tag: u16, values: &[u32]) -> Entry {
        let bytes = values.iter().flat_map(|value| self.long(*value)).collect();
        Entry { tag, kind: LONG, value: Value::Bytes(bytes) }
    }

    /// A folder as it stands at `at` in a file, its values behind it, folders in them included; its length is even.
    /// Tags are sorted, as readers demand. `None` when an offset does not fit into 32 bits.
    pub(super) fn folder(self, entries: &[Entry], at: usize) -> Option<Vec<u8>> {
        let mut sorted: Vec<&Entry> = entries.iter().collect();
        sorted.sort_by_key(|entry| entry.tag);
        let mut tags = self.short(u16::try_from(sorted.len()).ok()?).to_vec();
        let values_at = at + 2 + 12 * sorted.len() + 4;
        let mut values = Vec::new();
        for entry in sorted {
            let place = self.long(u32::try_from(values_at + values.len()).ok()?);
            tags.extend(self.short(entry.tag));
            match &entry.value {
                Value::Folder(below) => {
                    tags.extend(self.short(LONG));
                    tags.extend(self.long(1));
                    tags.extend(place);
                    values.extend(self.folder(below, values_at + values.len())?);
                }
                Value::Bytes(bytes) => {
                    tags.extend(self.short(entry.kind));
                    let count = bytes.len() / size_of(entry.kind)?;
                    tags.extend(self.long(u32::try_from(count).ok()?));
                    if bytes.len() <= 4 {
                        let mut inside = [0; 4];
                        inside[..bytes.len()].copy_from_slice(bytes);
                        tags.extend(inside);
                    } else {
                        tags.extend(place);
                        values.extend(bytes);
                    }
                }
            }
            values.resize(values.len().next_multiple_of(2), 0);
        }
        tags.extend([0; 4]); // there is no next folder
        tags.extend(values);
        Some(tags)
    }
}
