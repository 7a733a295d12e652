//! From a card's name to a judged capability and a reported quantity, through the public interface
//! only.

use dayan_measure::{
    Attribute, Derate, MeasuredVector, Measurement, Method, Precision, Sharing, capability,
    find_model, matches, normalise_accelerators,
};
use dayan_units::{FlopRate, MilliAccel, Range, Span, Time};

#[test]
fn a_card_is_asked_for_judged_and_counted() {
    let printed = "NVIDIA H100 80GB HBM3";
    assert!(matches("H100", printed) && matches("any-nvidia", printed));
    assert!(!matches("any-domestic", printed));
    let nominal = find_model(printed).expect("listed").nominal(Precision::Fp16).expect("public");

    let now = Time::EPOCH;
    let ask: Range<FlopRate> = "600 TFLOPS..".parse().expect("a range");
    let mut vector = MeasuredVector::default();
    // A data sheet alone satisfies nobody.
    assert_eq!(capability(&vector, Precision::Fp16, now), None);
    let measured = "700 TFLOPS".parse::<FlopRate>().expect("a rate");
    let method = Method { name: "cublas.gemm".into(), version: "1".into() };
    let measurement = Measurement {
        attribute: Attribute::AccelFp16,
        nominal: Some(nominal.0),
        measured: measured.0,
        method: method.clone(),
        at: now,
        valid_for: Span::from_secs(30 * 86_400),
        sharing: Sharing::Exclusive,
        signature: None,
    };
    assert_eq!(measurement.doubt(), None);
    vector.record(measurement);
    let judged = capability(&vector, Precision::Fp16, now).expect("measured");
    assert!(ask.contains(judged));

    // Eight such cards for a day: 8 × 0.7 × 24 = 134.4 SCU, less the rounding of the derate.
    let derate = Derate::from_benchmark(nominal, measured, method).expect("a ratio");
    let day = Span::from_secs(86_400);
    let used = normalise_accelerators(nominal, &derate, MilliAccel(8_000), day).expect("in range");
    assert!((134_399_000..=134_400_000).contains(&used.quantity.0), "{}", used.quantity);
    assert_eq!(used.rate, derate.effective_floor(nominal));
}
