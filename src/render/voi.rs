//! The VOI LUT: which values become which brightness (PS3.3 section C.11.2).
//!
//! Precedence: the window of the request, the first VOI LUT of the image, its
//! first window, else the smallest to the largest value of the frame that is no
//! padding.

use dicom_dictionary_std::tags;

use super::{RenderError, functional::FrameAttributes, lut::Lut, values};

/// VOI LUT Function (0028,1056), by its names in the data set and in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

/// A window over values after the Modality LUT.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    pub center: f64,
    pub width: f64,
    pub function: Function,
}

impl Window {
    /// The brightness of a value, 0 to 1 (PS3.3 section C.11.2.1.2 and .3).
    #[must_use]
    pub fn apply(&self, value: f64) -> f64 {
        let Self { center, width, function } = *self;
        let brightness = match function {
            // Below two grays there is nothing between black and white.
            Function::Linear if width <= 1.0 => f64::from(value > center - 0.5),
            Function::Linear => (value - (center - 0.5)) / (width - 1.0) + 0.5,
            Function::LinearExact => (value - center) / width + 0.5,
            Function::Sigmoid => 1.0 / (1.0 + (-4.0 * (value - center) / width).exp()),
        };
        brightness.clamp(0.0, 1.0)
    }

    /// The first window of an image or an item, if it has one that can be used.
    #[must_use]
    pub fn of(holder: &crate::dicom::DataSet) -> Option<Self> {
        let center = values::number(holder, tags::WINDOW_CENTER)?;
        let width = values::number(holder, tags::WINDOW_WIDTH)?;
        let function = match holder.first_text(tags::VOILUT_FUNCTION) {
            Some("SIGMOID") => Function::Sigmoid,
            Some("LINEAR_EXACT") => Function::LinearExact,
            // A width below 1 cannot be meant so: images of small real numbers
            // are written without the function.
            _ if width < 1.0 => Function::LinearExact,
            _ => Function::Linear,
        };
        (width > 0.0).then_some(Self { center, width, function })
    }
}

/// Values to brightness.
#[derive(Debug, Clone, PartialEq)]
pub enum Voi {
    Window(Window),
    Table(Lut),
    /// From black to white.
    Range(f64, f64),
}

impl Voi {
    /// What applies to a frame whose values (after the Modality LUT) lie in
    /// `range`, which is asked for only if it matters: it looks at every pixel.
    /// `possible` is in what range such values could lie.
    ///
    /// # Errors
    /// A table that cannot be used.
    pub fn of(
        attributes: &FrameAttributes<'_>,
        asked: Option<Window>,
        range: impl Fn() -> (f64, f64),
        possible: impl Fn() -> (f64, f64),
    ) -> Result<Self, RenderError> {
        if let Some(window) = asked {
            return Ok(Self::Window(window));
        }
        let tables = attributes.holder(tags::FRAME_VOILUT_SEQUENCE, tags::VOILUT_SEQUENCE);
        if let Some(voi) = Self::of_items(tables, possible)? {
            return Ok(voi);
        }
        let windows = attributes.holder(tags::FRAME_VOILUT_SEQUENCE, tags::WINDOW_CENTER);
        Ok(Window::of(windows).map_or_else(
            || {
                let (low, high) = range();
                Self::Range(low, high)
            },
            Self::Window,
        ))
    }

    /// The first VOI LUT of a data set or an item. Whether its first input is
    /// signed follows from what the values could be, and not from those of one
    /// frame: all of a series must look alike.
    ///
    /// # Errors
    /// A table that cannot be used.
    pub fn of_items(
        holder: &crate::dicom::DataSet,
        possible: impl Fn() -> (f64, f64),
    ) -> Result<Option<Self>, RenderError> {
        let Some(item) = holder.items(tags::VOILUT_SEQUENCE).first() else { return Ok(None) };
        let signed = possible().0 < 0.0;
        Ok(Lut::read(item, tags::LUT_DESCRIPTOR, tags::LUT_DATA, signed)?.map(Self::Table))
    }

    /// The brightness of a value, 0 to 1.
    #[must_use]
    pub fn apply(&self, value: f64, full_scale: f64) -> f64 {
        match self {
            Self::Window(window) => window.apply(value),
            #[allow(clippy::cast_possible_truncation, reason = "saturates")]
            Self::Table(table) => f64::from(table.at(value.round() as i64)) / full_scale,
            Self::Range(low, high) if high > low => ((value - low) / (high - low)).clamp(0.0, 1.0),
            // All values are equal: black, but for a mask of ones.
            Self::Range(low, _) => f64::from(*low > 0.0),
        }
    }

    /// What [`Voi::apply`] divides the entries of a table by.
    #[must_use]
    pub fn full_scale(&self) -> f64 {
        match self {
            Self::Table(table) => f64::from(table.full_scale()),
            Self::Window(_) | Self::Range(..) => 1.0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these numbers are exact")]
mod tests {
    use super::*;
    use crate::dicom::{DataSet, VR};

    fn window(function: Function, center: f64, width: f64) -> Window {
        Window { center, width, function }
    }

    /// The examples of PS3.3 section C.11.2.1.2.
    #[test]
    fn rnd_09_the_windows_of_the_standard() {
        let close = |left: f64, right: f64| assert!((left - right).abs() < 1e-9, "{left} is not {right}");
        // c=2048, w=4096: 0 is black, 4095 is white, in between it is x/4095.
        let full = window(Function::Linear, 2048.0, 4096.0);
        for value in [0.0, 1.0, 2048.0, 4095.0] {
            close(full.apply(value), value / 4095.0);
        }
        // c=2048, w=1: 2047 and below is black, 2048 and above is white.
        let step = window(Function::Linear, 2048.0, 1.0);
        assert_eq!((step.apply(2047.0), step.apply(2048.0)), (0.0, 1.0));
        // c=0, w=100: -50 is black, 49 is white.
        let signed = window(Function::Linear, 0.0, 100.0);
        close(signed.apply(-50.0), 0.0);
        close(signed.apply(49.0), 1.0);
        close(signed.apply(-0.5), 0.5);
        let exact = window(Function::LinearExact, 0.0, 100.0);
        close(exact.apply(-50.0), 0.0);
        close(exact.apply(50.0), 1.0);
        close(exact.apply(0.0), 0.5);
        let sigmoid = window(Function::Sigmoid, 10.0, 20.0);
        close(sigmoid.apply(10.0), 0.5);
        close(sigmoid.apply(15.0), 1.0 / (1.0 + (-1.0_f64).exp()));
    }

    #[test]
    fn rnd_08_windows_that_cannot_be_meant() {
        let mut set = DataSet::new();
        set.put_text(tags::WINDOW_CENTER, VR::DS, "0.4");
        set.put_text(tags::WINDOW_WIDTH, VR::DS, "0.5");
        assert_eq!(Window::of(&set).map(|window| window.function), Some(Function::LinearExact));
        set.put_text(tags::WINDOW_WIDTH, VR::DS, "0");
        assert_eq!(Window::of(&set), None);
        assert_eq!(Voi::Range(5.0, 5.0).apply(5.0, 1.0), 1.0);
        assert_eq!(Voi::Range(0.0, 0.0).apply(0.0, 1.0), 0.0);
    }
}
