//! Which of several images fits.

use crate::documents::{Descriptor, Index, Platform};
use crate::{ImageError, ImageResult};

/// Returns the platform that a word means: Proxmox VE's `amd64`, `arm64`, `armhf`, `i386`, `riscv64`, or the OCI's
/// `ARCHITECTURE[/VARIANT]`.
///
/// # Errors
/// When the word is not an architecture.
pub fn platform(word: &str) -> ImageResult<Platform> {
    let (architecture, variant) = word.split_once('/').unwrap_or((word, ""));
    let (architecture, variant) = match (architecture, variant) {
        ("x86_64", "") => ("amd64", ""),
        ("aarch64", "") => ("arm64", ""),
        ("i386" | "x86", "") => ("386", ""),
        ("armhf" | "arm", "") => ("arm", "v7"),
        ("armel", "") => ("arm", "v5"),
        ("riscv32" | "riscv64" | "amd64" | "arm64" | "arm" | "386" | "ppc64le" | "s390x" | "loong64", _) => {
            (architecture, variant)
        }
        _ => {
            let text =
                format!("'{}' is not an architecture that pvect knows", crate::digest::shortened(word));
            return Err(ImageError::Unsupported(text));
        }
    };
    Ok(Platform {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        variant: variant.to_owned(),
    })
}

/// How well an image fits, the smaller the better; `None` if it does not run there.
fn distance(found: &Platform, wanted: &Platform) -> Option<u32> {
    if found.os != "linux" || found.architecture != wanted.architecture {
        return None;
    }
    let number = |variant: &str| variant.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
    // What a variant that is not named means.
    let default = match wanted.architecture.as_str() {
        "arm64" => 8,
        "arm" => 7,
        _ => 1,
    };
    let level = |variant: &str| if variant.is_empty() { Some(default) } else { number(variant) };
    if found.variant == wanted.variant {
        return Some(0);
    }
    level(&wanted.variant)?.checked_sub(level(&found.variant)?).map(|less| less + 1)
}

/// Returns whether an image for one platform runs on another.
pub(crate) fn fits(found: &Platform, wanted: &Platform) -> bool {
    distance(found, wanted).is_some()
}

/// Chooses the image of an index that fits best; of those that fit the same, the first.
///
/// # Errors
/// When none fits; the text names the platforms that there are.
pub(crate) fn choose<'a>(index: &'a Index, wanted: &Platform) -> ImageResult<&'a Descriptor> {
    // Attestations stand in an index like images, for a system called `unknown`.
    let images: Vec<&Descriptor> = index
        .manifests
        .iter()
        .filter(|found| found.platform.as_ref().is_none_or(|platform| platform.os != "unknown"))
        .collect();
    if let [only] = images.as_slice() {
        if only.platform.is_none() {
            return Ok(only);
        }
    }
    let fitting = images
        .iter()
        .filter_map(|image| Some((distance(image.platform.as_ref()?, wanted)?, *image)))
        .min_by_key(|(distance, _)| *distance);
    if let Some((_, image)) = fitting {
        return Ok(image);
    }
    let mut others: Vec<String> = Vec::new();
    for platform in images.iter().filter_map(|image| image.platform.as_ref()) {
        let name = if platform.os == "linux" {
            platform.to_string()
        } else {
            format!("{platform} ({})", platform.os)
        };
        if !others.contains(&name) && others.len() < 20 {
            others.push(crate::digest::shortened(&name));
        }
    }
    Err(ImageError::NotFound(match others.as_slice() {
        [] => "its index names no image".to_owned(),
        _ => format!("there is no image for {wanted}, but for {}", others.join(", ")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, Digest};

    fn index(platforms: &[(&str, &str, &str)]) -> Index {
        let one = |(number, (architecture, os, variant)): (usize, &(&str, &str, &str))| Descriptor {
            media_type: String::new(),
            digest: Digest::of(Algorithm::Sha256, &[u8::try_from(number).unwrap()]),
            size: number as u64,
            platform: Some(Platform {
                architecture: (*architecture).to_owned(),
                os: (*os).to_owned(),
                variant: (*variant).to_owned(),
            }),
            annotations: std::collections::BTreeMap::new(),
        };
        Index { manifests: platforms.iter().enumerate().map(one).collect() }
    }

    fn chosen(index: &Index, word: &str) -> Result<u64, String> {
        let wanted = platform(word).map_err(|error| error.to_string())?;
        choose(index, &wanted).map(|found| found.size).map_err(|error| error.to_string())
    }

    #[test]
    fn the_image_that_fits_best_is_chosen() {
        let index = index(&[
            ("unknown", "unknown", ""),
            ("arm", "linux", "v5"),
            ("arm", "linux", "v6"),
            ("amd64", "windows", ""),
            ("amd64", "linux", "v3"),
            ("amd64", "linux", ""),
            ("arm64", "linux", "v8"),
        ]);
        assert_eq!(chosen(&index, "amd64"), Ok(5));
        assert_eq!(chosen(&index, "x86_64"), Ok(5));
        assert_eq!(chosen(&index, "amd64/v3"), Ok(4));
        assert_eq!(chosen(&index, "arm64"), Ok(6));
        assert_eq!(chosen(&index, "armhf"), Ok(2), "v6 runs on v7");
        assert_eq!(chosen(&index, "arm/v5"), Ok(1));
        let error = chosen(&index, "riscv64").unwrap_err();
        assert_eq!(
            error,
            "there is no image for riscv64, but for arm/v5, arm/v6, amd64 (windows), amd64/v3, amd64, arm64/v8"
        );
        assert!(chosen(&index, "sparc").is_err());
    }
}
