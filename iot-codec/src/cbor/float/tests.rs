use super::*;

/// RFC 8949 Appendix D, in arithmetic instead of bits.
fn half_by_arithmetic(half: u16) -> f64 {
    let mantissa = f64::from(half & 0x3ff);
    let value = match (half >> 10) & 0x1f {
        0 => mantissa * 2f64.powi(-24),
        31 if half & 0x3ff == 0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (mantissa + 1024.0) * 2f64.powi(i32::from(exponent) - 25),
    };
    if half & 0x8000 == 0 { value } else { -value }
}

#[test]
fn every_half_widens_to_its_value_and_narrows_back() {
    extern crate std;
    for half in 0..=u16::MAX {
        let single = single_from_half(half);
        let double = double_from_single(single);
        let expected = half_by_arithmetic(half);
        if expected.is_nan() {
            assert!(f32::from_bits(single).is_nan() && f64::from_bits(double).is_nan(), "{half:04x}");
        } else {
            assert_eq!(f64::from_bits(double).to_bits(), expected.to_bits(), "{half:04x}");
        }
        assert_eq!(half_from_single(single), Some(half));
        assert_eq!(single_from_double(double), Some(single));
        assert_eq!(Shortest::of_f64(f64::from_bits(double)), Shortest::Half(half));
    }
}
