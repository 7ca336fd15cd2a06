//! Photos from files, with what their files say of them.

use std::borrow::Cow;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, RgbImage};

use super::kind::{self, Kind};
use super::pixels::Pixels;
use super::turn::Turn;
use super::write::PhotoFormat;
use super::{exif, resources, tags, tiff};
use crate::base::error::{Error, Result};
use crate::base::image::is_cut_off;

/// The most memory that the pixels of one photo may take, in bytes: 1 GiB, which is 357 megapixels of 8-bit RGB, or
/// 178 of 16-bit RGB.
pub const MEMORY_LIMIT: u64 = 1 << 30;

/// The longest file that is read, in bytes: 2 GiB.
pub const FILE_LIMIT: u64 = 2 << 30;

/// How much of a file tells what it is.
const HEAD: u64 = 4096;

/// A photo: its pixels as its file stores them, and what the file says of it.
///
/// Thumbnails in the metadata are not kept, for they show the face as it was. Everything else is, the place where the
/// photo was taken included: it is the user's own. Signed manifests (C2PA) are not kept, as they hold of unchanged
/// pixels only.
#[derive(Debug, Clone)]
pub struct Photo {
    pub(super) pixels: Pixels,
    pub(super) turn: Turn,
    pub(super) format: Option<PhotoFormat>,
    pub(super) exif: Option<Vec<u8>>,
    pub(super) icc: Option<Vec<u8>>,
    pub(super) xmp: Option<Vec<u8>>,
    pub(super) resources: Option<Vec<u8>>,
}

impl Photo {
    /// Reads a photo by its content, whatever its name: JPEG, PNG, WebP, TIFF or BMP.
    ///
    /// Palettes, CMYK and fewer than 8 bits become 8-bit RGB or grey; everything else stays as it is stored. Of a TIFF
    /// with several pages the first is read.
    ///
    /// # Errors
    /// [`Error::Read`] when the file cannot be read; [`Error::Photo`] when it is empty, no photo (an animation, a
    /// video, a PDF, a raw camera file, an image format that is not read), damaged or cut off, larger than
    /// [`FILE_LIMIT`], or would take more than [`MEMORY_LIMIT`] in memory.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::read(path))?;
        let mut bytes = Vec::new();
        file.by_ref().take(HEAD).read_to_end(&mut bytes).map_err(Error::read(path))?;
        // A video of gigabytes is told from its head.
        image_format(path, &bytes)?;
        let rest = FILE_LIMIT + 1 - HEAD;
        bytes.reserve(file.metadata().map_or(0, |metadata| metadata.len().min(rest)) as usize);
        file.take(rest).read_to_end(&mut bytes).map_err(Error::read(path))?;
        if bytes.len() as u64 > FILE_LIMIT {
            return Err(Error::photo(path, "the file is larger than 2 GiB", "reduce the image first"));
        }
        Self::decode(path, &bytes)
    }

    /// A photo of these pixels that stands upright and of which nothing is known.
    pub fn from_pixels(pixels: Pixels) -> Self {
        Self { pixels, turn: Turn::NONE, format: None, exif: None, icc: None, xmp: None, resources: None }
    }

    /// Reads a photo from a file's bytes; `path` is for errors.
    fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let format = image_format(path, bytes)?;
        if (format == ImageFormat::Jpeg && is_cut_off(bytes)) || kind::is_cut_off_webp(bytes) {
            return Err(Error::photo(path, "the image is damaged (the file is cut off)", DAMAGED));
        }
        if format == ImageFormat::Tiff && exif::is_raw(bytes) {
            return Err(Error::photo(path, kind::RAW.0, kind::RAW.1));
        }
        let fail = |error| image_error(path, &error);
        if format == ImageFormat::Tiff {
            // `image` does not know grey with alpha in TIFF.
            if let Some(grey) = tiff::read_grey_with_alpha(bytes).map_err(|problem| damaged(path, problem))? {
                return Ok(
                    Self { format: PhotoFormat::of(format), ..Self::from_pixels(grey) }.with_tiff_tags(bytes)
                );
            }
        }
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = image::Limits::default();
        limits.max_alloc = Some(MEMORY_LIMIT);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(fail)?;
        if decoder.total_bytes() > MEMORY_LIMIT {
            let (width, height) = decoder.dimensions();
            return Err(too_large(path, &format!("an image of {width} x {height} pixels ")));
        }
        if matches!(decoder.color_type(), image::ColorType::Rgb32F | image::ColorType::Rgba32F) {
            let problem = "the image has floating-point samples, which are not read";
            return Err(Error::photo(path, problem, "convert it to 16 bits a channel"));
        }
        // What is damaged in the metadata is no reason to refuse the photo.
        let icc = decoder.icc_profile().ok().flatten().filter(|profile| !profile.is_empty());
        let xmp = decoder.xmp_metadata().ok().flatten();
        let exif = decoder.exif_metadata().ok().flatten().and_then(|exif| exif::without_thumbnail(&exif));
        let turn = decoder.orientation().ok().and_then(|turn| Turn::from_exif(turn.to_exif().into()));
        let turn = exif.as_deref().and_then(exif::turn).or(turn).unwrap_or(Turn::NONE);
        let resources = decoder.iptc_metadata().ok().flatten().filter(|_| format == ImageFormat::Jpeg);
        let resources = resources.and_then(|block| resources::without_thumbnail(&block));
        let pixels = Pixels::from_decoded(DynamicImage::from_decoder(decoder).map_err(fail)?);
        let photo = Self { pixels, turn, format: PhotoFormat::of(format), exif, icc, xmp, resources };
        Ok(if format == ImageFormat::Tiff { photo.with_tiff_tags(bytes) } else { photo })
    }

    /// The photo with what the tags of its TIFF file say. `image` returns the values of a few types only.
    fn with_tiff_tags(mut self, file: &[u8]) -> Self {
        let block = tags::Block::new(file).and_then(|block| Some((block, block.folder(block.first()?)?.0)));
        let Some((block, tags)) = block else { return self };
        let value = |wanted| tags.iter().find(|tag| tag.tag == wanted).and_then(|tag| block.value(tag));
        self.exif = exif::of_tiff(file);
        self.turn = self.exif.as_deref().and_then(exif::turn).unwrap_or(self.turn);
        self.icc = value(34675).map(<[u8]>::to_vec).or(self.icc);
        self.xmp = value(700).map(<[u8]>::to_vec).or(self.xmp);
        let resources = value(34377).map(<[u8]>::to_vec).or_else(|| value(33723).map(resources::of_iptc));
        self.resources = resources.and_then(|block| resources::without_thumbnail(&block));
        self
    }

    /// The pixels as the file stores them, not turned.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// Width of the stored pixels.
    pub fn width(&self) -> u32 {
        self.pixels.width()
    }

    /// Height of the stored pixels.
    pub fn height(&self) -> u32 {
        self.pixels.height()
    }

    /// How the stored pixels must be turned to stand upright.
    pub fn turn(&self) -> Turn {
        self.turn
    }

    /// The format of the file; `None` for BMP, which is not written, and for a photo that was not read.
    pub fn format(&self) -> Option<PhotoFormat> {
        self.format
    }

    /// The EXIF block without its thumbnail, beginning with its TIFF header.
    pub fn exif(&self) -> Option<&[u8]> {
        self.exif.as_deref()
    }

    /// The ICC profile of the file. That of a CMYK file stays here, but is not written: pixels are RGB.
    pub fn icc_profile(&self) -> Option<&[u8]> {
        self.icc.as_deref()
    }

    /// The XMP packet.
    pub fn xmp(&self) -> Option<&[u8]> {
        self.xmp.as_deref()
    }

    /// Width and height of the photo as it stands upright.
    pub fn upright_dimensions(&self) -> (u32, u32) {
        self.turn.dimensions((self.width(), self.height()))
    }

    /// Where a point of the upright photo in full resolution is among the stored pixels. Coordinates are continuous:
    /// (0, 0) is the outer corner of the first pixel, and pixel centres end in .5.
    pub fn stored_from_upright(&self, point: [f64; 2]) -> [f64; 2] {
        self.turn.stored_from_upright((self.width(), self.height()), point)
    }

    /// The inverse of [`Photo::stored_from_upright`].
    pub fn upright_from_stored(&self, point: [f64; 2]) -> [f64; 2] {
        self.turn.upright_from_stored((self.width(), self.height()), point)
    }

    /// The photo upright as 8-bit RGB, its longer side at most `max_side`, and the scale: coordinates in the upright
    /// photo of full resolution are coordinates in this one times the scale, which is at least 1.
    ///
    /// Reduction is antialiased (Hamming). Alpha is dropped, not multiplied in. At the end of the shorter side less
    /// than one reduced pixel may be left out, so that the scale is the same in both directions.
    ///
    /// # Panics
    /// When `max_side` is 0.
    pub fn upright(&self, max_side: u32) -> (RgbImage, f64) {
        assert!(max_side > 0, "an image has pixels");
        let (width, height) = (self.width(), self.height());
        let samples = self.pixels.eight(0..height);
        let scale = (f64::from(width.max(height)) / f64::from(max_side)).max(1.0);
        let reduced = |side: u32| ((f64::from(side) / scale + 1e-9) as u32).max(1);
        let (reduced_width, reduced_height) = (reduced(width), reduced(height));
        let samples = if scale == 1.0 {
            samples
        } else {
            let size = (reduced_width, reduced_height);
            // The right and lower rest stands at the end of the turned image only if it is cut where that end is stored.
            let part = |reduced: u32, side: u32| (f64::from(reduced) * scale).min(f64::from(side));
            let part = [part(reduced_width, width), part(reduced_height, height)];
            let [x, y] = self.stored_from_upright([0.0, 0.0]);
            let left = if x > 0.0 { f64::from(width) - part[0] } else { 0.0 };
            let top = if y > 0.0 { f64::from(height) - part[1] } else { 0.0 };
            Cow::Owned(reduce(&samples, &self.pixels, size, [left, top, part[0], part[1]]))
        };
        let image = rgb(samples, &self.pixels, (reduced_width, reduced_height));
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(self.turn.orientation());
        (image.into_rgb8(), scale)
    }
}

/// A part of the image (left, top, width, height) reduced to a size, with the same channels.
fn reduce(samples: &[u8], pixels: &Pixels, (width, height): (u32, u32), part: [f64; 4]) -> Vec<u8> {
    let kind = match pixels.channels() {
        1 => PixelType::U8,
        2 => PixelType::U8x2,
        3 => PixelType::U8x3,
        _ => PixelType::U8x4,
    };
    let [left, top, part_width, part_height] = part;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Hamming))
        .use_alpha(false)
        .crop(left, top, part_width, part_height);
    let mut reduced = Image::new(width, height, kind);
    let source =
        ImageRef::new(pixels.width(), pixels.height(), samples, kind).expect("the samples are the image's");
    Resizer::new()
        .resize(&source, &mut reduced, &options)
        .expect("the part lies in the image, of the same kind");
    reduced.into_vec()
}

/// Samples with the channels of `pixels` as RGB.
fn rgb(samples: Cow<[u8]>, pixels: &Pixels, (width, height): (u32, u32)) -> RgbImage {
    let channels = pixels.channels();
    let samples = if channels == 3 {
        samples.into_owned()
    } else if pixels.colours() == 1 {
        samples.chunks_exact(channels).flat_map(|pixel| [pixel[0]; 3]).collect()
    } else {
        samples.chunks_exact(channels).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
    };
    RgbImage::from_raw(width, height, samples).expect("three samples a pixel")
}

const DAMAGED: &str =
    "copy the file again from where it came, or open it in an image program and save it anew";

/// The image format of a file; an error that says what else it is.
fn image_format(path: &Path, bytes: &[u8]) -> Result<ImageFormat> {
    if bytes.is_empty() {
        return Err(Error::photo(path, "the file is empty", DAMAGED));
    }
    match kind::of(bytes) {
        Kind::Image(format) => Ok(format),
        Kind::Other(problem, hint) => Err(Error::photo(path, problem, hint)),
        Kind::Unknown => {
            let hint = "name a photo; PNG, JPEG, WebP, TIFF and BMP are read";
            Err(Error::photo(path, "this is no image that can be read", hint))
        }
    }
}

fn too_large(path: &Path, what: &str) -> Error {
    Error::photo(path, format!("{what}would take more than 1 GiB of memory"), "reduce the image first")
}

fn image_error(path: &Path, error: &ImageError) -> Error {
    match error {
        ImageError::Limits(_) => too_large(path, "the image "),
        ImageError::Unsupported(_) => {
            let problem = format!("the image is of a rare kind that is not read ({error})");
            Error::photo(path, problem, "open it in an image program and save it as PNG or JPEG")
        }
        _ => damaged(path, error),
    }
}

fn damaged(path: &Path, error: impl std::fmt::Display) -> Error {
    Error::photo(path, format!("the image is damaged or cut off ({error})"), DAMAGED)
}
