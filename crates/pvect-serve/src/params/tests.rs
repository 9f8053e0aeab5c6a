//! Parameters of forms and JSON objects, and the calls that they make.

use super::*;

fn shown(params: &Params) -> Vec<String> {
    params.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

#[test]
fn forms_and_objects_are_read() {
    let params = Params::of_form(b"a=1+2&b=%c3%a4%2B&c&a=3&x=%zz").unwrap();
    assert_eq!(shown(&params), ["a=1 2\x003", "b=\u{e4}+", "c=", "x=%zz"]);
    assert_eq!(Params::of_form(b"a=%ff").unwrap_err().status, 400);
    let params = Params::of_json(br#"{"a":1,"b":true,"c":"x","d":["p","q"],"e":null}"#).unwrap();
    assert_eq!(shown(&params), ["a=1", "b=1", "c=x", "d=p\0q"]);
    assert_eq!(Params::of_json(b"[1]").unwrap_err().message, "malformed JSON body: not an object\n");
    assert_eq!(Params::of_json(br#"{"a":{}}"#).unwrap_err().status, 400);
    assert_eq!(shown(&Params::of_json(br#"{"a":1,"a":2}"#).unwrap()), ["a=1\x002"]);
}

#[test]
fn names_and_values_mean_one_thing() {
    for form in ["=104", "a=1&=104", "%3d=1&=x"] {
        assert_eq!(Params::of_form(form.as_bytes()).unwrap_err().status, 400, "{form}");
    }
    assert_eq!(Params::of_json(br#"{"":1}"#).unwrap_err().status, 400);
    let wanted = [optional("storage", TEXT), many("exclude-path", TEXT)];
    for (form, good) in [
        ("storage=a", true),
        ("exclude-path=/a&exclude-path=/b", true),
        ("storage=a&storage=b", false),
        ("storage=a&STORAGE=b", false),
        ("storag=a", false),
        ("storage=a%00b", false),
    ] {
        assert_eq!(Params::of_form(form.as_bytes()).unwrap().check(&wanted).is_ok(), good, "{form}");
    }
    let mut both = Params::of_form(b"storage=a").unwrap();
    both.merge(Params::of_form(b"storage=b&_dc=1").unwrap()).unwrap();
    assert!(both.check(&wanted).is_err());
    let set = |form: &str| {
        let mut params = Params::of_form(form.as_bytes()).unwrap();
        params.set("vmid", "101");
        params.call(Verb::Set).map(|call| call.masked_argv().join(" "))
    };
    assert_eq!(set("delete=swap&delete=tags").unwrap(), "set 101 --delete swap,tags");
    assert_eq!(set("env=A%3d1%00B%3d2").unwrap(), "set 101 --env A=1\0B=2");
    for form in ["delete=swap%00tags,dev0", "memory=64&memory=128", "hostname=a%00", "mp0=a&mp0=b"] {
        assert_eq!(set(form).unwrap_err().status, 400, "{form}");
    }
    let place = BTreeMap::from([("vmid", "101".to_owned())]);
    for (form, good) in [("vmid=101", true), ("vmid=102", false), ("memory=64", true), ("vmid=101%00", false)]
    {
        assert_eq!(Params::of_form(form.as_bytes()).unwrap().agree(&place).is_ok(), good, "{form}");
    }
}

#[test]
fn calls_take_parameters_by_name() {
    let call = Params::of_form(b"vmid=101&ostemplate=local:vztmpl/a.tar.zst&password=hunter22&memory=64")
        .unwrap()
        .call(Verb::Create)
        .unwrap();
    assert_eq!(
        call.masked_argv(),
        ["create", "101", "local:vztmpl/a.tar.zst", "--memory", "64", "--password"]
    );
    let refusal = Params::of_form(b"vmid=7&memory=1").unwrap().call(Verb::Create).unwrap_err();
    let names: Vec<&str> = refusal.errors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["vmid", "memory", "ostemplate"]);
    let call = Params::of_form(b"vmid=101&volume=rootfs&target-vmid=102").unwrap().call(Verb::MoveVolume);
    assert_eq!(call.unwrap().argv(), ["move-volume", "101", "rootfs", "--target-vmid", "102"]);
}

#[test]
fn unknown_parameters_are_refused() {
    let wanted = [optional("type", Kind::Enum(&["vm"])), required("start", COUNT)];
    let refusal = Params::of_form(b"type=x&bogus=1").unwrap().check(&wanted).unwrap_err();
    let texts: Vec<&str> = refusal.errors.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "property is not defined in schema and the schema does not allow additional properties",
            "value 'x' does not have a value in the enumeration 'vm'",
            "property is missing and it is not optional",
        ]
    );
    assert!(Params::of_form(b"start=3").unwrap().check(&wanted).is_ok());
}
