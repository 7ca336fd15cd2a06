//! Photos to files, with what their files said of them and the mark of what was done.

use std::path::Path;
use std::str::FromStr;

use image::ImageFormat;

use super::file::Photo;
use super::pixels::Pixels;
use super::turn::Turn;
use super::{exif, jpeg, png, tiff, webp, xmp};
use crate::base::error::{Error, Result};
use crate::base::file::{Disk, write_whole};

/// A format that photos are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PhotoFormat {
    /// Lossless; 8 and 16 bits, grey, alpha.
    Png,
    /// 8 bits, grey, no alpha: 16 bits are rounded, and alpha is laid over white.
    Jpeg,
    /// Lossless; 8 bits, colour, alpha: 16 bits are rounded, grey becomes colour. At most 16,384 pixels a side.
    Webp,
    /// Lossless and uncompressed; 8 and 16 bits, grey, alpha.
    Tiff,
}

impl PhotoFormat {
    /// The format that a file name's ending asks for.
    ///
    /// # Errors
    /// [`Error::Photo`] when the name has no such ending.
    pub fn from_path(path: &Path) -> Result<Self> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        ending.parse().map_err(|()| {
            let problem = format!("no image format is known by the name ending {ending:?}");
            Error::photo(path, problem, "let the name end in .png, .jpg, .webp or .tif")
        })
    }

    /// The usual ending of file names, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            PhotoFormat::Png => "png",
            PhotoFormat::Jpeg => "jpg",
            PhotoFormat::Webp => "webp",
            PhotoFormat::Tiff => "tif",
        }
    }

    /// The format of a file that was read.
    pub(super) fn of(format: ImageFormat) -> Option<Self> {
        match format {
            ImageFormat::Png => Some(PhotoFormat::Png),
            ImageFormat::Jpeg => Some(PhotoFormat::Jpeg),
            ImageFormat::WebP => Some(PhotoFormat::Webp),
            ImageFormat::Tiff => Some(PhotoFormat::Tiff),
            _ => None,
        }
    }
}

/// From a name or a file name's ending, in any case: png, jpg, jpeg, webp, tif, tiff.
impl FromStr for PhotoFormat {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name.to_ascii_lowercase().as_str() {
            "png" => Ok(PhotoFormat::Png),
            "jpg" | "jpeg" | "jpe" | "jfif" => Ok(PhotoFormat::Jpeg),
            "webp" => Ok(PhotoFormat::Webp),
            "tif" | "tiff" => Ok(PhotoFormat::Tiff),
            _ => Err(()),
        }
    }
}

/// How hard a PNG is compressed. The pixels are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PngLevel {
    /// As fast as can be.
    #[default]
    Fast,
    /// A good deal smaller, several times slower.
    Default,
    /// As small as this encoder can.
    Best,
}

/// From `fast`, `default` or `best`.
impl FromStr for PngLevel {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "fast" => Ok(PngLevel::Fast),
            "default" => Ok(PngLevel::Default),
            "best" => Ok(PngLevel::Best),
            _ => Err(()),
        }
    }
}

/// How a photo is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// Quality of a JPEG, 1..=100; others are clamped.
    pub jpeg_quality: u8,
    /// Compression of a PNG.
    pub png_level: PngLevel,
    /// The name of the model that changed the photo, for the mark in its XMP packet: digital source type
    /// `compositeWithTrainedAlgorithmicMedia`, and "moue" with its version and this name as the system used. `None`
    /// leaves the mark out.
    pub mark: Option<String>,
}

impl WriteOptions {
    /// The usual way, marked as changed by `model`: JPEG quality 95, PNG fast.
    pub fn marked(model: impl Into<String>) -> Self {
        Self { mark: Some(model.into()), ..Self::unmarked() }
    }

    /// The usual way, without a mark.
    pub fn unmarked() -> Self {
        Self { jpeg_quality: 95, png_level: PngLevel::default(), mark: None }
    }
}

/// What goes into a file beside the pixels.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Metadata<'a> {
    pub(super) exif: Option<&'a [u8]>,
    pub(super) icc: Option<&'a [u8]>,
    pub(super) xmp: Option<&'a [u8]>,
    pub(super) resources: Option<&'a [u8]>,
}

impl Photo {
    /// Writes `pixels` (this photo's, changed) with all that the photo's file said, whole or not at all.
    ///
    /// | | PNG | JPEG | WebP | TIFF |
    /// |---|---|---|---|---|
    /// | pixels | as they are | 8 bits, over white | 8 bits, colour | as they are |
    /// | EXIF without thumbnail | yes | up to 64 KiB, else the orientation | yes | its tags; maker notes move |
    /// | ICC profile | yes | yes | yes | yes |
    /// | XMP and the mark | yes | up to 64 KiB, else the mark | yes | yes |
    /// | IPTC and other resources of Photoshop | no | yes | no | yes |
    ///
    /// Pixels stay as they are stored, and EXIF's orientation says as before how to turn them. An ICC profile is left
    /// out when its colours are not those of the file (CMYK, or RGB for grey). An XMP packet keeps what it says, and
    /// gets the mark's properties; what cannot be read as XMP is replaced by the mark.
    ///
    /// # Errors
    /// [`Error::Write`] when it cannot be written: what was there before is intact then. [`Error::Photo`] when the
    /// image is too large for the format.
    pub fn write(
        &self,
        disk: &dyn Disk,
        path: &Path,
        pixels: &Pixels,
        format: PhotoFormat,
        options: &WriteOptions,
    ) -> Result<()> {
        let is_jpeg = format == PhotoFormat::Jpeg;
        let turn_alone = (self.turn != Turn::NONE).then(|| exif::of_turn(self.turn));
        let exif = self.exif.as_deref().filter(|exif| !is_jpeg || jpeg::holds_exif(exif));
        let file_colours = if format == PhotoFormat::Webp { 3 } else { pixels.colours() };
        let icc = self.icc.as_deref().filter(|profile| colours_of(profile) == Some(file_colours));
        let fits = |xmp: &[u8]| !is_jpeg || jpeg::holds_xmp(xmp);
        let marked = options.mark.as_deref().map(|model| {
            let merged = xmp::marked(self.xmp(), model);
            if fits(&merged) { merged } else { xmp::marked(None, model) }
        });
        let metadata = Metadata {
            exif: exif.or(turn_alone.as_deref()),
            icc,
            xmp: marked.as_deref().or(self.xmp()).filter(|xmp| fits(xmp)),
            resources: self.resources.as_deref(),
        };

        let too_long = |longest, name| {
            let problem = format!("a {name} file has at most {longest} pixels a side");
            Err(Error::photo(path, problem, "write a PNG or TIFF instead"))
        };
        let longest = pixels.width().max(pixels.height());
        match format {
            PhotoFormat::Jpeg if longest > jpeg::LONGEST_SIDE => return too_long(jpeg::LONGEST_SIDE, "JPEG"),
            PhotoFormat::Webp if longest > webp::LONGEST_SIDE => return too_long(webp::LONGEST_SIDE, "WebP"),
            PhotoFormat::Tiff if !tiff::holds(pixels, &metadata) => {
                return Err(Error::photo(path, "a TIFF file holds at most 4 GiB", "write a PNG instead"));
            }
            _ => {}
        }
        write_whole(disk, path, |output| match format {
            PhotoFormat::Png => png::write(output, pixels, options.png_level, &metadata),
            PhotoFormat::Jpeg => jpeg::write(output, pixels, options.jpeg_quality.clamp(1, 100), &metadata),
            PhotoFormat::Webp => webp::write(output, pixels, &metadata),
            PhotoFormat::Tiff => tiff::write(output, pixels, self.turn, &metadata),
        })
    }
}

/// How many colours the data has that an ICC profile is for (ICC.1:2022, section 7.2.8); `None` for others than grey
/// and RGB.
fn colours_of(profile: &[u8]) -> Option<usize> {
    match profile.get(16..20)? {
        b"GRAY" => Some(1),
        b"RGB " => Some(3),
        _ => None,
    }
}
