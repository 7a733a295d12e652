//! An RGB picture in memory: pixels, lines, frames, text, and PNG files.
//!
//! Invariant: drawing outside the picture is clipped, never a panic. A file appears under its
//! name only when it is complete.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;

use crate::font::{GLYPH_H, GLYPH_W, glyph};

/// A colour: red, green, blue, display-referred (sRGB), 0–255.
pub type Rgb = [u8; 3];

/// A picture of 8-bit RGB pixels, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A picture filled with one colour.
    pub fn new(width: usize, height: usize, fill: Rgb) -> Canvas {
        Canvas { width, height, pixels: vec![fill; width * height] }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The pixel at a place inside the picture; black outside it.
    pub fn get(&self, x: i32, y: i32) -> Rgb {
        self.index(x, y).map_or([0; 3], |i| self.pixels[i])
    }

    /// Sets a pixel.
    pub fn set(&mut self, x: i32, y: i32, colour: Rgb) {
        if let Some(i) = self.index(x, y) {
            self.pixels[i] = colour;
        }
    }

    /// Mixes a colour into a pixel; `share` 0 leaves it, 1 replaces it.
    pub fn blend(&mut self, x: i32, y: i32, colour: Rgb, share: f32) {
        if let Some(i) = self.index(x, y) {
            let share = share.clamp(0.0, 1.0);
            for (old, new) in self.pixels[i].iter_mut().zip(colour) {
                let mixed = f32::from(*old) * (1.0 - share) + f32::from(new) * share;
                *old = mixed.round() as u8;
            }
        }
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, x: i32, y: i32, w: i32, h: i32, colour: Rgb) {
        for row in y.max(0)..(y + h).min(self.height as i32) {
            for col in x.max(0)..(x + w).min(self.width as i32) {
                self.set(col, row, colour);
            }
        }
    }

    /// Draws the outline of a rectangle.
    pub fn frame(&mut self, x: i32, y: i32, w: i32, h: i32, colour: Rgb) {
        self.fill(x, y, w, 1, colour);
        self.fill(x, y + h - 1, w, 1, colour);
        self.fill(x, y, 1, h, colour);
        self.fill(x + w - 1, y, 1, h, colour);
    }

    /// Draws a line with soft edges; coordinates in pixels, pixel centres at whole numbers.
    pub fn line(&mut self, from: (f32, f32), to: (f32, f32), colour: Rgb, share: f32) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        // A line cannot usefully be longer than the picture; this bounds a wild argument.
        let longest = (self.width + self.height) as f32;
        let steps = dx.abs().max(dy.abs()).min(longest).ceil().max(1.0);
        let mut i = 0.0;
        while i <= steps {
            let (x, y) = (from.0 + dx * i / steps, from.1 + dy * i / steps);
            if dx.abs() >= dy.abs() {
                let low = y.floor();
                self.blend(x.round() as i32, low as i32, colour, share * (1.0 - (y - low)));
                self.blend(x.round() as i32, low as i32 + 1, colour, share * (y - low));
            } else {
                let low = x.floor();
                self.blend(low as i32, y.round() as i32, colour, share * (1.0 - (x - low)));
                self.blend(low as i32 + 1, y.round() as i32, colour, share * (x - low));
            }
            i += 1.0;
        }
    }

    /// Writes text with its upper left corner at a place; returns where it ends.
    pub fn text(&mut self, x: i32, y: i32, scale: i32, text: &str, colour: Rgb) -> i32 {
        let mut left = x;
        for c in text.chars() {
            for (row, bits) in glyph(c).iter().enumerate() {
                for col in 0..GLYPH_W {
                    if bits >> (GLYPH_W - 1 - col) & 1 == 1 {
                        let (px, py) = (left + col as i32 * scale, y + row as i32 * scale);
                        self.fill(px, py, scale, scale, colour);
                    }
                }
            }
            left += (GLYPH_W as i32 + 1) * scale;
        }
        left
    }

    /// Text on a dark outline, to be read on any ground.
    pub fn label(&mut self, x: i32, y: i32, scale: i32, text: &str, colour: Rgb, outline: Rgb) {
        for (dx, dy) in [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1)] {
            self.text(x + dx, y + dy, scale, text, outline);
        }
        self.text(x, y, scale, text, colour);
    }

    /// The PNG file of the picture.
    pub fn to_png(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Balanced);
        let mut writer = encoder.write_header().context("cannot write the PNG header")?;
        writer.write_image_data(self.pixels.as_flattened()).context("cannot encode the picture")?;
        writer.finish().context("cannot finish the picture")?;
        Ok(bytes)
    }

    /// Writes the PNG file under a name.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        write_whole(path, &self.to_png()?)
    }

    fn index(&self, x: i32, y: i32) -> Option<usize> {
        let (x, y) = (usize::try_from(x).ok()?, usize::try_from(y).ok()?);
        (x < self.width && y < self.height).then(|| y * self.width + x)
    }
}

/// Width of a text in pixels.
pub fn text_width(text: &str, scale: i32) -> i32 {
    (text.chars().count() * (GLYPH_W + 1)) as i32 * scale
}

/// Height of a line of text in pixels.
pub fn text_height(scale: i32) -> i32 {
    GLYPH_H as i32 * scale
}

/// Writes a file so that nobody ever sees half of it: beside its place first, then renamed.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let said = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(said)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".part{}", std::process::id()));
    let part = path.with_file_name(name);
    let mut file = BufWriter::new(fs::File::create(&part).with_context(said)?);
    let written = file.write_all(bytes).and_then(|()| file.flush());
    drop(file);
    if let Err(error) = written.and_then(|()| fs::rename(&part, path)) {
        // The half file is of no use to anyone; the error that matters is the first one.
        let _ = fs::remove_file(&part);
        return Err(error).with_context(said);
    }
    Ok(())
}

/// A colour from stops at ascending positions; clamped at the ends.
pub fn ramp(stops: &[(f32, Rgb)], at: f32) -> Rgb {
    let Some(first) = stops.first() else { return [0; 3] };
    let mut low = *first;
    for stop in stops {
        if at < stop.0 {
            let span = (stop.0 - low.0).max(f32::EPSILON);
            let share = ((at - low.0) / span).clamp(0.0, 1.0);
            return [0, 1, 2].map(|i| {
                let (a, b) = (f32::from(low.1[i]), f32::from(stop.1[i]));
                (a + (b - a) * share).round() as u8
            });
        }
        low = *stop;
    }
    low.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_outside_is_clipped() {
        let mut canvas = Canvas::new(8, 6, [1, 2, 3]);
        canvas.fill(-5, -5, 100, 3, [9; 3]);
        canvas.line((-100.0, -3.0), (200.0, 9.0), [255; 3], 1.0);
        canvas.text(-3, 4, 2, "Ab?", [7; 3]);
        canvas.label(6, 3, 1, "x", [255; 3], [0; 3]);
        canvas.set(100, 100, [0; 3]);
        assert_eq!(canvas.get(-1, 0), [0; 3]);
    }

    #[test]
    fn a_png_holds_the_pixels() {
        let mut canvas = Canvas::new(5, 4, [10, 20, 30]);
        canvas.set(2, 1, [200, 100, 50]);
        let bytes = canvas.to_png().unwrap();
        let decoder = png::Decoder::new(std::io::Cursor::new(bytes));
        let mut reader = decoder.read_info().unwrap();
        let mut out = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut out).unwrap();
        assert_eq!(&out[(5 + 2) * 3..(5 + 2) * 3 + 3], &[200, 100, 50]);
        assert_eq!(out.len(), 5 * 4 * 3);
    }

    #[test]
    fn ramps_interpolate_and_clamp() {
        let stops = [(0.0, [0, 0, 0]), (1.0, [200, 100, 50]), (2.0, [255; 3])];
        assert_eq!(ramp(&stops, -1.0), [0; 3]);
        assert_eq!(ramp(&stops, 0.5), [100, 50, 25]);
        assert_eq!(ramp(&stops, 5.0), [255; 3]);
    }
}
