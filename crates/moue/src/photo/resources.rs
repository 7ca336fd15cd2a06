//! Photoshop's image resources, the block in which JPEG and TIFF files keep IPTC's captions and credits (Adobe
//! Photoshop File Formats, "Image Resources Section").

/// Resources that show the photo as it was: the thumbnails of Photoshop 4 and 5.
const THUMBNAILS: [u16; 2] = [1033, 1036];
/// The resource of IPTC's records.
const IPTC: u16 = 1028;

/// The block without its thumbnails. `None` when it is damaged, or nothing remains.
pub(super) fn without_thumbnail(block: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(block.len());
    let mut rest = block;
    while !rest.is_empty() {
        // Signature, number, name with its length before it, length, data; name and data are padded to even lengths.
        let number = u16::from_be_bytes(rest.strip_prefix(b"8BIM")?.first_chunk().copied()?);
        let name = (usize::from(*rest.get(6)?) + 1).next_multiple_of(2);
        let length = u32::from_be_bytes(rest.get(6 + name..)?.first_chunk().copied()?) as usize;
        let end = 10 + name + length;
        rest.get(..end)?;
        let (resource, behind) = rest.split_at(end.next_multiple_of(2).min(rest.len()));
        if !THUMBNAILS.contains(&number) {
            kept.extend(resource);
            kept.resize(kept.len().next_multiple_of(2), 0);
        }
        rest = behind;
    }
    (!kept.is_empty()).then_some(kept)
}

/// A block of IPTC's records alone.
pub(super) fn of_iptc(records: &[u8]) -> Vec<u8> {
    let mut block = b"8BIM".to_vec();
    block.extend(IPTC.to_be_bytes());
    block.extend([0, 0]);
    block.extend((records.len() as u32).to_be_bytes());
    block.extend(records);
    block.resize(block.len().next_multiple_of(2), 0);
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbnails_go_and_captions_stay() {
        let caption = of_iptc(b"\x1C\x02\x78\0\x05mouse");
        let mut thumbnail = of_iptc(b"old face");
        thumbnail[4..6].copy_from_slice(&1036u16.to_be_bytes());
        let block = [&caption[..], &thumbnail, &caption].concat();
        assert_eq!(without_thumbnail(&block), Some([&caption[..], &caption].concat()));
        assert_eq!(without_thumbnail(&thumbnail), None);
        for length in 1..block.len() {
            if let Some(kept) = without_thumbnail(&block[..length]) {
                assert_eq!(kept.len() % 2, 0);
            }
        }
    }
}
