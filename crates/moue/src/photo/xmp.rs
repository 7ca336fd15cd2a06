//! The mark: what a photo's XMP packet says of its being edited by a model, beside all it said before.
//!
//! It is what the IPTC recommends for photos in which generative AI changed a part: the digital source type, and since
//! IPTC Photo Metadata 2025.1 the system and its version. Other programs show it, and sites that label such pictures
//! read it.

use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const IPTC: &str = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/";
const XMP: &str = "http://ns.adobe.com/xap/1.0/";

/// A photo of which a trained model made a part.
pub(super) const COMPOSITE: &str =
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia";
/// An image that a trained model made altogether. An input that says so still is one, and keeps it.
const TRAINED: &str = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia";

/// Properties that the mark sets, and replaces where a packet has them.
const OURS: [(&str, &str); 3] =
    [(IPTC, "DigitalSourceType"), (IPTC, "AISystemUsed"), (IPTC, "AISystemVersionUsed")];
const CREATOR_TOOL: (&str, &str) = (XMP, "CreatorTool");

/// A packet with the mark, from the one that the photo had. What cannot be read as XMP is replaced by a packet that
/// holds the mark alone. `model` is a model's name as people know it.
pub(super) fn marked(packet: Option<&[u8]>, model: &str) -> Vec<u8> {
    let old = packet.and_then(|packet| std::str::from_utf8(packet).ok()).map(|packet| {
        // Some programs end the packet like a C string.
        packet.trim_end_matches('\0')
    });
    let merged = old.and_then(|old| merge(old, model));
    merged.unwrap_or_else(|| fresh(model)).into_bytes()
}

/// A packet of the mark alone.
fn fresh(model: &str) -> String {
    let description = description("", model, COMPOSITE, true);
    format!(
        "<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n\
         <x:xmpmeta xmlns:x=\"adobe:ns:meta/\">\n<rdf:RDF xmlns:rdf=\"{RDF}\">\n{description}</rdf:RDF>\n\
         </x:xmpmeta>\n<?xpacket end=\"w\"?>"
    )
}

/// The mark's properties. `about` is an attribute's value as it stands in XML.
fn description(about: &str, model: &str, source: &str, with_tool: bool) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let model = escape(model);
    let tool = if with_tool {
        format!("<xmp:CreatorTool>moue {version} ({model})</xmp:CreatorTool>\n")
    } else {
        String::new()
    };
    format!(
        "<rdf:Description rdf:about=\"{about}\" xmlns:rdf=\"{RDF}\" xmlns:Iptc4xmpExt=\"{IPTC}\" xmlns:xmp=\"{XMP}\">\n\
         <Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>\n\
         <Iptc4xmpExt:AISystemUsed>moue ({model})</Iptc4xmpExt:AISystemUsed>\n\
         <Iptc4xmpExt:AISystemVersionUsed>{version}</Iptc4xmpExt:AISystemVersionUsed>\n\
         {tool}</rdf:Description>\n"
    )
}

/// The packet with the mark's properties set, everything else byte for byte as it was. The tool that created the photo
/// is named only where no other is. `None` when the packet is no well-formed XML with an rdf:RDF in it.
fn merge(packet: &str, model: &str) -> Option<String> {
    let mut reader = NsReader::from_str(packet);
    let mut out = String::with_capacity(packet.len() + 1024);
    let (mut depth, mut done) = (0usize, false);
    let mut about: Option<String> = None;
    let (mut has_tool, mut is_generated) = (false, false);
    // Depths of the RDF element and of what is being left out.
    let mut rdf: Option<usize> = None;
    let mut dropped: Option<usize> = None;
    loop {
        let start = usize::try_from(reader.buffer_position()).ok()?;
        let event = reader.read_event().ok()?;
        let end = usize::try_from(reader.buffer_position()).ok()?;
        let text = packet.get(start..end)?;
        let mut replaced = None;
        match &event {
            Event::Start(element) | Event::Empty(element) => {
                let is_start = matches!(event, Event::Start(_));
                let name = resolved(reader.resolver().resolve_element(element.name()));
                // Properties stand right inside of a Description, which stands inside of RDF.
                let property = rdf.is_some_and(|rdf| depth == rdf + 2);
                if property && name.is_some_and(|name| OURS.contains(&name)) && dropped.is_none() {
                    if is_start {
                        dropped = Some(depth);
                    } else {
                        replaced = Some(String::new());
                    }
                }
                has_tool |= property && name == Some(CREATOR_TOOL);
                if name == Some((RDF, "RDF")) && rdf.is_none() && !done && is_start {
                    rdf = Some(depth);
                } else if name == Some((RDF, "Description")) && rdf.is_some_and(|rdf| depth == rdf + 1) {
                    let found = attributes(&reader, element)?;
                    about.get_or_insert(found.about);
                    has_tool |= found.has_tool;
                    is_generated |= found.is_generated;
                    if let Some(kept) = found.without_ours {
                        replaced = Some(format!("<{kept}{}>", if is_start { "" } else { "/" }));
                    }
                }
                depth += usize::from(is_start);
            }
            Event::End(_) => {
                depth = depth.checked_sub(1)?;
                if dropped == Some(depth) {
                    dropped = None;
                    replaced = Some(String::new());
                }
                if rdf == Some(depth) {
                    (rdf, done) = (None, true);
                    let source = if is_generated { TRAINED } else { COMPOSITE };
                    out.push_str(&description(about.as_deref().unwrap_or(""), model, source, !has_tool));
                }
            }
            Event::Text(content) if dropped.is_some() => is_generated |= content.trim() == TRAINED,
            // Entities of its own, which no XMP has, could hide anything.
            Event::DocType(_) => return None,
            Event::Eof => break,
            _ => {}
        }
        if let Some(replaced) = replaced {
            out.push_str(&replaced);
        } else if dropped.is_none() {
            out.push_str(text);
        }
    }
    (done && depth == 0).then_some(out)
}

/// What a Description's attributes say.
struct Attributes {
    /// Its rdf:about, as it stands.
    about: String,
    has_tool: bool,
    is_generated: bool,
    /// The tag's inside without the mark's properties, if it has any.
    without_ours: Option<String>,
}

fn attributes(reader: &NsReader<&[u8]>, element: &BytesStart) -> Option<Attributes> {
    let mut found =
        Attributes { about: String::new(), has_tool: false, is_generated: false, without_ours: None };
    let mut kept = element.name().as_ref().to_string();
    let mut any = false;
    for attribute in element.attributes() {
        let attribute = attribute.ok()?;
        let key = attribute.key;
        let name = resolved(reader.resolver().resolve_attribute(key));
        found.has_tool |= name == Some(CREATOR_TOOL);
        if name == Some((RDF, "about")) || key.as_ref() == "about" {
            found.about = attribute.value.replace('"', "&quot;");
        }
        if name.is_some_and(|name| OURS.contains(&name)) {
            any = true;
            found.is_generated |= attribute.value == TRAINED;
        } else {
            let quote = if attribute.value.contains('"') { '\'' } else { '"' };
            kept.push_str(&format!(" {}={quote}{}{quote}", key.as_ref(), attribute.value));
        }
    }
    found.without_ours = any.then_some(kept);
    Some(found)
}

/// A name with its namespace, if it has one.
fn resolved<'a>(
    (namespace, local): (ResolveResult<'a>, quick_xml::name::LocalName<'a>),
) -> Option<(&'a str, &'a str)> {
    match namespace {
        ResolveResult::Bound(Namespace(namespace)) => Some((namespace, local.into_inner())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    const LIGHTROOM: &str = "<?xpacket begin=\"\u{FEFF}\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x='adobe:ns:meta/'>\
        <rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'><rdf:Description rdf:about='uuid:1'\n \
        xmlns:xmp='http://ns.adobe.com/xap/1.0/' xmlns:e='http://iptc.org/std/Iptc4xmpExt/2008-02-29/' \
        xmlns:dc='http://purl.org/dc/elements/1.1/' xmp:Rating='4' xmp:CreatorTool='Room &quot;9&quot;' \
        e:DigitalSourceType='http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture'>\
        <dc:title><rdf:Alt><rdf:li xml:lang='x-default'>&lt;Mice&gt;</rdf:li></rdf:Alt></dc:title>\
        <e:AISystemUsed>another</e:AISystemUsed></rdf:Description></rdf:RDF></x:xmpmeta>   \n<?xpacket end='w'?>";

    fn text(packet: &[u8]) -> &str {
        std::str::from_utf8(packet).unwrap()
    }

    #[test]
    fn a_packet_keeps_everything_and_says_what_was_done() {
        let marked = marked(Some(LIGHTROOM.as_bytes()), "a <b> & c");
        let marked = text(&marked);
        assert_eq!(marked.matches("DigitalSourceType").count(), 2, "one element:\n{marked}");
        assert!(marked.contains(COMPOSITE) && marked.contains("moue (a &lt;b&gt; &amp; c)"));
        assert!(marked.contains("Room &quot;9&quot;") && marked.matches("CreatorTool").count() == 1);
        assert!(marked.contains("&lt;Mice&gt;") && marked.contains("xmp:Rating=\"4\""));
        assert_eq!(marked.matches("uuid:1").count(), 2);
        assert!(!marked.contains("another") && !marked.contains("digitalCapture"));
        assert!(marked.ends_with("<?xpacket end='w'?>") && marked.starts_with("<?xpacket"));
    }

    #[test]
    fn marking_twice_is_marking_once() {
        let once = marked(None, "m");
        assert!(text(&once).contains("CreatorTool>moue"));
        let twice = marked(Some(&[&once[..], b"\0"].concat()), "n");
        assert_eq!(text(&twice).matches(COMPOSITE).count(), 1, "{}", text(&twice));
        assert!(text(&twice).contains("moue (n)") && !text(&twice).contains("moue (m)"));
        assert!(merge(text(&twice), "o").is_some());
    }

    #[test]
    fn a_generated_image_stays_one() {
        let generated = fresh("m").replace(COMPOSITE, TRAINED);
        assert!(text(&marked(Some(generated.as_bytes()), "m")).contains(TRAINED));
        let attribute = LIGHTROOM.replace("digitalCapture", "trainedAlgorithmicMedia");
        assert!(text(&marked(Some(attribute.as_bytes()), "m")).contains(TRAINED));
    }

    #[test]
    fn what_is_no_xmp_is_replaced() {
        let doctype = format!("<!DOCTYPE a [<!ENTITY b 'c'>]>{LIGHTROOM}");
        for broken in [&b"\xFF\xFE<"[..], b"", b"<a>", b"<a></b>", b"<rdf:RDF/>", doctype.as_bytes()] {
            assert_eq!(marked(Some(broken), "m"), fresh("m").into_bytes());
        }
    }

    #[test]
    fn damaged_packets_do_no_harm() {
        for round in 0..3000 {
            let mut rng = Rng::stream(5, "xmp", round);
            let mut packet = LIGHTROOM.as_bytes().to_vec();
            for _ in 0..1 + rng.below(6) {
                let at = rng.below(packet.len());
                packet[at] = b"<>/'\" x:&="[rng.below(10)];
            }
            let marked = marked(Some(&packet), "m");
            assert!(merge(text(&marked), "m").is_some(), "{}", text(&marked));
        }
    }
}
