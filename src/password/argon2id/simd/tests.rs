use super::super::reference;
use super::*;

const PASSWORD: [u8; 32] = [1; 32];
const SALT: [u8; 16] = [2; 16];
const SECRET: [u8; 8] = [3; 8];
const ASSOCIATED_DATA: [u8; 12] = [4; 12];

fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn both_implementations_return_the_tags_of_rfc_9106() {
    let reference_params = argon2::ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(argon2::AssociatedData::new(&ASSOCIATED_DATA).unwrap())
        .output_len(32)
        .build()
        .unwrap();
    let params = Params::builder()
        .memory(Memory::kib(32))
        .passes(3)
        .lanes(4)
        .build()
        .unwrap();
    for (reference_algorithm, algorithm, expected) in [
        (
            argon2::Algorithm::Argon2d,
            Algorithm::Argon2d,
            "512b391b6f1162975371d30919734294f868e3be3984f3c1a13a4db9fabe4acb",
        ),
        (
            argon2::Algorithm::Argon2i,
            Algorithm::Argon2i,
            "c814d9d1dc7f37aa13f0d77f2494bda1c8de6b016dd388d29952a4c4672b6ce8",
        ),
        (
            argon2::Algorithm::Argon2id,
            Algorithm::Argon2id,
            "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659",
        ),
    ] {
        let mut of_reference = [0; 32];
        argon2::Argon2::new_with_secret(
            &SECRET,
            reference_algorithm,
            argon2::Version::V0x13,
            reference_params.clone(),
        )
        .unwrap()
        .hash_password_into(&PASSWORD, &SALT, &mut of_reference)
        .unwrap();
        let of_simd = Argon2::new(algorithm, Version::V0x13, params)
            .hash_with_ad(&PASSWORD, &SALT, &SECRET, &ASSOCIATED_DATA)
            .unwrap();

        let expected = bytes_of_hex(expected);
        assert_eq!(of_reference.as_slice(), expected, "{algorithm:?}");
        assert_eq!(of_simd, expected, "{algorithm:?}");
    }
}

/// One input of a hash.
#[derive(Debug)]
struct RandomInput {
    password: Vec<u8>,
    salt: Vec<u8>,
    cost: HashCost,
}

impl RandomInput {
    fn new(rng: &mut fastrand::Rng, memory_kib: u32, lanes: u32) -> Self {
        let bytes = |rng: &mut fastrand::Rng, length| {
            let mut bytes = vec![0; length];
            rng.fill(&mut bytes);
            bytes
        };
        // Longer than the blocks of BLAKE2b, which have 128 bytes.
        let password_length = rng.usize(0..300);
        let salt_length = rng.usize(8..80);
        Self {
            password: bytes(rng, password_length),
            salt: bytes(rng, salt_length),
            cost: HashCost {
                memory_kib,
                passes: rng.u32(1..=4),
                lanes,
            },
        }
    }
}

/// Compares the tags of both implementations. Each keeps its memory between the inputs, as in a thread.
fn assert_equal_tags(count: usize, input: impl Fn(&mut fastrand::Rng) -> RandomInput) {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut reference = reference::HashingMemory::default();
    let mut simd = HashingMemory::default();
    for number in 0..count {
        let input = input(&mut rng);
        let RandomInput {
            password,
            salt,
            cost,
        } = &input;

        let expected = reference.derive(password, *cost, salt).unwrap();
        let tag = simd.derive(password, *cost, salt).unwrap();

        assert_eq!(tag, expected, "seed {seed}, number {number}: {input:?}");
    }
}

#[test]
fn ten_thousand_random_inputs_have_equal_tags() {
    assert_equal_tags(10_000, |rng| {
        let memory_kib = rng.u32(8..=96);
        RandomInput::new(rng, memory_kib, 1)
    });
}

#[test]
fn random_inputs_with_more_memory_and_lanes_have_equal_tags() {
    assert_equal_tags(64, |rng| {
        let lanes = rng.u32(1..=4);
        let memory_kib = rng.u32(1024..=8192);
        RandomInput::new(rng, memory_kib, lanes)
    });
}

#[test]
fn the_default_cost_has_equal_tags() {
    assert_equal_tags(2, |rng| RandomInput {
        cost: HashCost {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
        },
        ..RandomInput::new(rng, 8, 1)
    });
}

#[test]
fn both_implementations_refuse_the_same_costs() {
    for (memory_kib, passes, lanes) in [(7, 1, 1), (64, 0, 1), (64, 1, 0), (64, 1, 9), (15, 1, 2)] {
        let cost = HashCost {
            memory_kib,
            passes,
            lanes,
        };

        let of_reference = reference::HashingMemory::default().derive(b"password", cost, &SALT);
        let of_simd = HashingMemory::default().derive(b"password", cost, &SALT);

        for result in [of_reference, of_simd] {
            assert!(
                matches!(result, Err(PasswordError::UnknownFormat)),
                "{cost:?}: {result:?}"
            );
        }
    }
}

#[test]
fn the_memory_is_kept_between_two_hashes() {
    let cost = HashCost {
        memory_kib: 64,
        passes: 1,
        lanes: 1,
    };
    let mut memory = HashingMemory::default();

    memory.derive(b"password", cost, &SALT).unwrap();

    assert_eq!(memory.0.unwrap().reserved_blocks(), 64);
}
