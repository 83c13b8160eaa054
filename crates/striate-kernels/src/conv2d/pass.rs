//! What one convolution reads and writes, and the input rows under a strip of its output.

use std::ops::Range;

/// Strips of output rows a batch is cut into at least, so that a few large images occupy every core.
const STRIPS: usize = 32;

/// Groups of images a batch is cut into at least, so that they occupy every core.
const GROUPS: usize = 4;
/// Images of a group: whole blocks of registers.
const IMAGES: usize = 12;

/// A convolution with the place of its first tap and of its outputs spelled out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pass {
    pub inputs: usize,
    pub outputs: usize,
    /// Size of the images read.
    pub height: usize,
    pub width: usize,
    pub kernel_h: usize,
    pub kernel_w: usize,
    pub stride: usize,
    /// Input row and column under the first tap of the first output.
    pub top: isize,
    pub left: isize,
    /// Size of the output grid.
    pub rows: usize,
    pub columns: usize,
    /// Floats from the start of an output image to its first value, from row to row and pixel to pixel.
    pub first: usize,
    pub row: usize,
    pub pixel: usize,
    /// Floats of an output image.
    pub image: usize,
}

/// Consecutive output rows of one image, or all of several.
pub(super) struct Strip<'a> {
    /// First image, and how many.
    pub image: usize,
    pub images: usize,
    pub first: usize,
    pub rows: usize,
    /// From the first value of the first row on.
    pub out: &'a mut [f32],
}

/// The input rows under some output rows, read at `offset + row · pitch + column · inputs`, where column 0 lies
/// under the first tap of the first output column.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub values: &'a [f32],
    pub offset: isize,
    pub pitch: usize,
    /// Input row that is row 0.
    pub first: usize,
}

/// The part of `0..size` that `start + i` maps into `0..limit`.
pub(super) fn inside(start: isize, size: usize, limit: usize) -> Range<usize> {
    let low = (-start).clamp(0, size as isize) as usize;
    let high = (limit as isize - start).clamp(low as isize, size as isize) as usize;
    low..high
}

impl Pass {
    /// The batch cut into strips; how many depends on the shape alone.
    pub fn strips<'a>(&self, out: &'a mut [f32]) -> Vec<Strip<'a>> {
        self.strips_of(self.strip_rows(out.len() / self.image), out)
    }

    /// The batch cut into strips of so many rows.
    pub fn strips_of<'a>(&self, rows: usize, out: &'a mut [f32]) -> Vec<Strip<'a>> {
        let strips = out.chunks_exact_mut(self.image).enumerate().flat_map(|(image, out)| {
            let chunks = out[self.first..].chunks_mut(rows * self.row).take(self.rows.div_ceil(rows));
            chunks.enumerate().map(move |(i, out)| {
                let first = i * rows;
                Strip { image, images: 1, first, rows: rows.min(self.rows - first), out }
            })
        });
        strips.collect()
    }

    /// The batch cut into groups of images, or into strips of so many rows if those were too few.
    pub fn groups<'a>(&self, rows: usize, out: &'a mut [f32]) -> Vec<Strip<'a>> {
        if out.len() / self.image < GROUPS * IMAGES {
            return self.strips_of(rows, out);
        }
        let groups = out.chunks_mut(IMAGES * self.image).enumerate().map(|(i, out)| {
            let images = out.len() / self.image;
            Strip { image: i * IMAGES, images, first: 0, rows: self.rows, out: &mut out[self.first..] }
        });
        groups.collect()
    }

    /// Rows of a strip in a batch of this size.
    pub fn strip_rows(&self, batch: usize) -> usize {
        self.rows.div_ceil(STRIPS.div_ceil(batch.max(1)))
    }

    /// Columns from the first tap of the first output to the last tap of the last.
    fn span(&self) -> usize {
        (self.columns - 1) * self.stride + self.kernel_w
    }

    /// Kernel rows within the image for an output row.
    #[inline(always)]
    pub fn taps_down(&self, row: usize) -> Range<usize> {
        inside(self.top + (row * self.stride) as isize, self.kernel_h, self.height)
    }

    /// Kernel columns within the image for any of `count` outputs from `column` on.
    #[inline(always)]
    pub fn taps_across(&self, column: usize, count: usize) -> Range<usize> {
        let start = self.left + (column * self.stride) as isize;
        let low = inside(start + ((count - 1) * self.stride) as isize, self.kernel_w, self.width).start;
        low..inside(start, self.kernel_w, self.width).end.max(low)
    }

    /// Output rows for which a kernel row is within the image.
    #[inline(always)]
    pub fn rows_under(&self, tap: usize) -> Range<usize> {
        under(self.top + tap as isize, self.stride, self.rows, self.height)
    }

    /// Output columns for which any of these kernel columns is within the image.
    #[inline(always)]
    pub fn columns_under(&self, first: usize, last: usize) -> Range<usize> {
        let low = under(self.left + last as isize, self.stride, self.columns, self.width).start;
        low..under(self.left + first as isize, self.stride, self.columns, self.width).end.max(low)
    }

    /// Whether every tap lies between the left and the right border, or there is none.
    pub fn fits(&self) -> bool {
        let empty = self.kernel_h * self.kernel_w == 0;
        empty || self.left >= 0 && self.left as usize + self.span() <= self.width
    }

    /// The input under output rows `first .. first + rows`: in place, or with zeros at the sides in `scratch`.
    pub fn window<'a>(
        &self,
        image: &'a [f32],
        first: usize,
        rows: usize,
        scratch: &'a mut Vec<f32>,
    ) -> Window<'a> {
        if self.fits() {
            return self.in_place(image);
        }
        self.copy(image, first, rows, 0, scratch)
    }

    /// The images as they are: only taps inside may be read.
    pub fn in_place<'a>(&self, images: &'a [f32]) -> Window<'a> {
        let (offset, pitch) = (self.left * self.inputs as isize, self.width * self.inputs);
        Window { values: images, offset, pitch, first: 0 }
    }

    /// A copy of the input under output rows `first .. first + rows`, followed by `slack` floats.
    pub fn copy<'a>(
        &self,
        image: &[f32],
        first: usize,
        rows: usize,
        slack: usize,
        scratch: &'a mut Vec<f32>,
    ) -> Window<'a> {
        let pitch = self.span() * self.inputs;
        let reach = (rows - 1) * self.stride + self.kernel_h;
        let within = inside(self.top + (first * self.stride) as isize, reach, self.height);
        let columns = inside(self.left, self.span(), self.width);
        let start = (self.top + (first * self.stride + within.start) as isize).max(0) as usize;
        // The borders of a scratch stay zero: every strip writes the same columns.
        scratch.resize((reach.min(self.height) * pitch + slack).max(scratch.len()), 0.0);
        let count = if columns.is_empty() { 0 } else { within.len() };
        for (to, from) in scratch.chunks_exact_mut(pitch).zip(start..start + count) {
            let column = (self.left + columns.start as isize).max(0) as usize;
            let from = &image[(from * self.width + column) * self.inputs..][..columns.len() * self.inputs];
            to[columns.start * self.inputs..][..from.len()].copy_from_slice(from);
        }
        Window { values: scratch, offset: 0, pitch, first: start }
    }
}

/// The part of `0..size` that `start + i · stride` maps into `0..limit`.
#[inline(always)]
fn under(start: isize, stride: usize, size: usize, limit: usize) -> Range<usize> {
    let at_least = |bound: isize| ((bound - start).max(0) as usize).div_ceil(stride).min(size);
    let low = at_least(0);
    low..at_least(limit as isize).max(low)
}
