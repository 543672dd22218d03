//! Colour profiles (PS3.18 section 8.3.5.1.5): which one describes a picture,
//! and its conversion into one that is asked for.

use dicom_dictionary_std::tags;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

use super::{Channels, Image, RenderError, values};
use crate::dicom::DataSet;

/// Larger ones are not taken from a data set.
const PROFILE_BYTES_MAX: usize = 4 << 20;

/// What `iccprofile` asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Asked {
    #[default]
    No,
    /// Whatever describes the picture as it is.
    Yes,
    Srgb,
    AdobeRgb,
    RommRgb,
}

/// A profile as it is embedded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile(Vec<u8>);

impl Profile {
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What describes a picture that says nothing of its colours: sRGB, or its
    /// gray.
    ///
    /// # Errors
    /// The profile cannot be written.
    pub fn well_known(channels: Channels) -> Result<Self, RenderError> {
        Self::of(&match channels {
            Channels::Gray => ColorProfile::new_gray_with_gamma(2.2),
            Channels::Rgb => ColorProfile::new_srgb(),
        })
    }

    fn of(profile: &ColorProfile) -> Result<Self, RenderError> {
        profile.encode().map(Self).map_err(|error| RenderError::Encode(format!("{error:?}")))
    }
}

/// The picture in the colours that are asked for, and the profile that
/// describes it.
///
/// # Errors
/// A conversion that cannot be made.
pub fn apply(image: Image, set: &DataSet, asked: Asked) -> Result<(Image, Option<Profile>), RenderError> {
    let own = own_profile(set);
    let target = match asked {
        Asked::No => return Ok((image, None)),
        Asked::Yes => {
            let profile = match (&own, image.channels) {
                (Some((bytes, _)), Channels::Rgb) => Profile(bytes.clone()),
                _ => Profile::well_known(image.channels)?,
            };
            return Ok((image, Some(profile)));
        }
        Asked::Srgb => ColorProfile::new_srgb(),
        Asked::AdobeRgb => ColorProfile::new_adobe_rgb(),
        Asked::RommRgb => ColorProfile::new_pro_photo_rgb(),
    };
    let source = match own {
        Some((_, profile)) if image.channels == Channels::Rgb => profile,
        _ => ColorProfile::new_srgb(),
    };
    let profile = Profile::of(&target)?;
    let mut image = image.into_rgb();
    let failed = |error| RenderError::Encode(format!("the colours cannot be converted: {error:?}"));
    let transform = source
        .create_transform_8bit(Layout::Rgb, &target, Layout::Rgb, TransformOptions::default())
        .map_err(failed)?;
    let mut converted = vec![0; image.data.len()];
    transform.transform(&image.data, &mut converted).map_err(failed)?;
    image.data = converted;
    Ok((image, Some(profile)))
}

/// The ICC Profile (0028,2000) of the data set or of its first optical path, if
/// it is one of RGB.
fn own_profile(set: &DataSet) -> Option<(Vec<u8>, ColorProfile)> {
    let path = set.items(tags::OPTICAL_PATH_SEQUENCE).first();
    [Some(set), path].into_iter().flatten().find_map(|holder| {
        let bytes = values::bytes(holder, tags::ICC_PROFILE)?;
        if bytes.len() > PROFILE_BYTES_MAX {
            return None;
        }
        let profile = ColorProfile::new_from_slice(&bytes).ok()?;
        (profile.color_space == DataColorSpace::Rgb).then_some((bytes, profile))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dicom::{Element, VR, Value};

    #[test]
    fn rnd_07_colours_are_converted_and_described() {
        let red = || Image::rgb(1, 1, vec![255, 0, 0]);
        let mut set = DataSet::new();
        let (same, none) = apply(red(), &set, Asked::No).expect("valid");
        assert_eq!((same.data, none), (vec![255, 0, 0], None));
        let (adobe, profile) = apply(red(), &set, Asked::AdobeRgb).expect("valid");
        assert!(adobe.data[0] < 230 && profile.is_some(), "the red of sRGB is inside Adobe RGB: {adobe:?}");
        let (gray, _) = apply(Image::gray(1, 1, vec![128]), &set, Asked::Srgb).expect("valid");
        assert_eq!((gray.channels, gray.data), (Channels::Rgb, vec![128; 3]));
        // What the data set says of its colours goes before sRGB.
        let own = Profile::of(&ColorProfile::new_adobe_rgb()).expect("built in");
        set.put(tags::ICC_PROFILE, Element::new(VR::OB, Value::Inline(own.bytes().to_vec())));
        let (_, profile) = apply(red(), &set, Asked::Yes).expect("valid");
        assert_eq!(profile, Some(own));
        set.put(tags::ICC_PROFILE, Element::new(VR::OB, Value::Inline(vec![1, 2, 3])));
        assert!(apply(red(), &set, Asked::Srgb).is_ok(), "what is no profile counts for nothing");
    }
}
