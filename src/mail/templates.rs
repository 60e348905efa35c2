//! Texts of mails. A template of text is one mail: a line with the subject, an empty line, and paragraphs. The HTML
//! consists of the same paragraphs, so that both say the same.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};

use super::{MailContent, samples};
use crate::locale::Locale;
use crate::names::EmailAddress;
use latchet_guard::clock::Time;

/// Lists the templates of a language, which are in a folder of that name.
macro_rules! templates {
    ($language:literal: $($name:literal),+ $(,)?) => {
        [$((
            concat!($language, "/", $name),
            include_str!(concat!("templates/", $language, "/", $name)),
        )),+]
    };
}

const ENGLISH: [(&str, &str); 9] = templates!["en":
    "verify_address.txt", "reset_password.txt", "address_in_use.txt", "password_changed.txt",
    "address_added.txt", "address_removed.txt", "primary_address_changed.txt",
    "account_deleted.txt", "test.txt",
];

const GERMAN: [(&str, &str); 9] = templates!["de":
    "verify_address.txt", "reset_password.txt", "address_in_use.txt", "password_changed.txt",
    "address_added.txt", "address_removed.txt", "primary_address_changed.txt",
    "account_deleted.txt", "test.txt",
];

/// The HTML of every mail.
const FRAME: (&str, &str) = ("mail.html", include_str!("templates/mail.html"));

/// Every variable that some template may name.
const VARIABLES: [&str; 9] = [
    "service",
    "username",
    "link",
    "code",
    "address",
    "time",
    "lang",
    "subject",
    "paragraphs",
];

/// Longest template of the operator, in bytes.
const LONGEST_TEMPLATE: u64 = 64 * 1024;

/// A template cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TemplateError {
    /// The file cannot be read.
    #[error("cannot read the mail template {}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// A syntax error, or a variable that the mail does not have.
    #[error("the mail template {name} is wrong")]
    Template {
        /// Name of the template.
        name: String,
        /// Cause, with the line.
        #[source]
        source: minijinja::Error,
    },
    /// A variable that no mail has, perhaps in a part that is rarely rendered.
    #[error("the mail template {name} names `{variable}` in line {line}, which no mail has")]
    Variable {
        /// Name of the template.
        name: String,
        /// The variable.
        variable: String,
        /// Line of the template.
        line: usize,
    },
    /// The first line is not the subject.
    #[error("the mail template {0} does not begin with a line `Subject: …` and an empty line")]
    Subject(String),
}

/// The templates of all mails.
#[derive(Debug)]
pub(super) struct Templates(Environment<'static>);

/// A rendered mail.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RenderedMail {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

impl Templates {
    /// Returns the templates of this program, with those of the operator's folder in place of single ones. With such a
    /// folder every mail is rendered once, so that a wrong template is found now.
    pub(super) fn open(folder: Option<&Path>, service: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_global("service", service.to_owned());
        for (name, text) in ENGLISH.into_iter().chain(GERMAN).chain([FRAME]) {
            let own = match folder {
                Some(folder) => read_own(&folder.join(name))?,
                None => None,
            };
            let text = own.unwrap_or_else(|| text.to_owned());
            let added = environment.add_template_owned(name, text);
            added.map_err(|source| wrong_template(name, source))?;
            refuse_unknown_variables(&environment, name)?;
        }
        let templates = Self(environment);
        if folder.is_some() {
            for locale in Locale::ALL {
                for sample in samples() {
                    templates.render(&sample, locale)?;
                }
            }
        }
        Ok(templates)
    }

    /// Renders a mail.
    pub(super) fn render(
        &self,
        content: &MailContent,
        locale: Locale,
    ) -> Result<RenderedMail, TemplateError> {
        let name = content.template_name().unwrap_or("test");
        let name = format!("{}/{name}.txt", locale.as_str());
        let values = TemplateValues::of(content);
        let rendered = self.run(&name, values.to_value())?;
        let rendered = rendered.replace("\r\n", "\n");
        let (subject, text) = rendered
            .strip_prefix("Subject: ")
            .and_then(|rest| rest.split_once("\n\n"))
            .filter(|(subject, _)| !subject.contains('\n'))
            .ok_or_else(|| TemplateError::Subject(name.clone()))?;
        let (subject, text) = (subject.trim().to_owned(), format!("{}\n", text.trim()));
        let paragraphs = text.split("\n\n").map(str::trim);
        let paragraphs: Vec<Value> = paragraphs.map(|text| values.paragraph(text)).collect();
        let html = self.run(
            FRAME.0,
            context! { lang => locale.as_str(), subject => subject.as_str(), paragraphs },
        )?;
        Ok(RenderedMail {
            subject,
            text,
            html,
        })
    }

    fn run(&self, name: &str, values: Value) -> Result<String, TemplateError> {
        let template = self.0.get_template(name);
        let rendered = template.and_then(|template| template.render(values));
        rendered.map_err(|source| wrong_template(name, source))
    }
}

/// Variables of the templates. A variable that a mail does not have is undefined, which is an error.
#[derive(Debug, Default)]
struct TemplateValues<'a> {
    username: Option<Cow<'a, str>>,
    link: Option<&'a str>,
    code: Option<&'a str>,
    address: Option<String>,
    time: Option<String>,
}

impl<'a> TemplateValues<'a> {
    fn of(content: &'a MailContent) -> Self {
        match content {
            MailContent::VerifyAddress {
                username,
                link,
                code,
            } => Self {
                // A stranger may have chosen the name and the recipient.
                username: Some(Cow::Owned(without_links(username))),
                link: Some(link),
                code: Some(code),
                ..Self::default()
            },
            MailContent::ResetPassword {
                username,
                link,
                code,
            } => Self {
                username: Some(Cow::Borrowed(username)),
                link: Some(link),
                code: Some(code),
                ..Self::default()
            },
            MailContent::PasswordChanged { username, at }
            | MailContent::AccountDeleted { username, at } => Self {
                username: Some(Cow::Borrowed(username)),
                time: Some(minute_of(*at)),
                ..Self::default()
            },
            MailContent::AddressAdded {
                username,
                address,
                at,
            }
            | MailContent::AddressRemoved {
                username,
                address,
                at,
            }
            | MailContent::PrimaryAddressChanged {
                username,
                address,
                at,
            } => Self {
                username: Some(Cow::Borrowed(username)),
                address: Some(EmailAddress::display(address)),
                time: Some(minute_of(*at)),
                ..Self::default()
            },
            MailContent::AddressInUse {} | MailContent::Test | MailContent::Decoy => {
                Self::default()
            }
        }
    }

    /// Returns the variables for a template.
    fn to_value(&self) -> Value {
        let texts = [
            ("username", self.username.as_deref()),
            ("link", self.link),
            ("code", self.code),
            ("address", self.address.as_deref()),
            ("time", self.time.as_deref()),
        ];
        let defined = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?)));
        let defined = defined.map(|(name, text)| (name, Value::from(text)));
        Value::from(defined.collect::<BTreeMap<&str, Value>>())
    }

    /// Returns a paragraph for the HTML, with its kind: a link and a code have a form of their own.
    fn paragraph(&self, text: &str) -> Value {
        let kind = if self.link == Some(text) {
            "link"
        } else if self.code == Some(text) {
            "code"
        } else {
            "text"
        };
        context! { kind, text => Value::from_safe_string(escape_html(text)) }
    }
}

/// Refuses a template that names a variable that no mail has.
fn refuse_unknown_variables(
    environment: &Environment<'_>,
    name: &str,
) -> Result<(), TemplateError> {
    let template = environment.get_template(name);
    let template = template.map_err(|source| wrong_template(name, source))?;
    let named = template.undeclared_variables(false).into_iter();
    let unknown = named.filter(|variable| !VARIABLES.contains(&variable.as_str()));
    let Some(variable) = unknown.min() else {
        return Ok(());
    };
    let is_named_in = |line: &str| {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|word| word == variable)
    };
    let line = template.source().lines().position(is_named_in);
    Err(TemplateError::Variable {
        name: name.to_owned(),
        line: line.map_or(1, |before| before + 1),
        variable,
    })
}

/// Escapes a text for HTML. Unlike minijinja it leaves slashes as they are: not every mail program decodes a link
/// before it looks for links.
fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// Returns a user name in a form that no mail program turns into a link: otherwise a registration could send one to any
/// address. The reader must see which account the mail is about.
fn without_links(username: &str) -> String {
    let mut plain = String::new();
    for c in username.chars() {
        if c.is_alphanumeric() || "-_+".contains(c) {
            plain.push(c);
        } else {
            plain.extend(['[', c, ']']);
        }
    }
    plain
}

/// Returns a time for people, in minutes.
fn minute_of(time: Time) -> String {
    let text = time.to_string();
    let minute = text.get(..16).unwrap_or(&text).replace('T', " ");
    format!("{minute} UTC")
}

/// Reads a template of the operator, if there is one.
fn read_own(path: &Path) -> Result<Option<String>, TemplateError> {
    let read = || match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
        Ok(metadata) if metadata.len() > LONGEST_TEMPLATE => {
            Err(std::io::Error::other("it has more than 64 KiB"))
        }
        Ok(_) => std::fs::read_to_string(path).map(Some),
    };
    read().map_err(|source| TemplateError::File {
        path: path.to_owned(),
        source,
    })
}

fn wrong_template(name: &str, source: minijinja::Error) -> TemplateError {
    TemplateError::Template {
        name: name.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates() -> Templates {
        Templates::open(None, "auth.example.org").unwrap()
    }

    fn proof(username: &str) -> MailContent {
        MailContent::VerifyAddress {
            username: username.to_owned(),
            link: "https://auth.example.org/verify#bGluaw".to_owned(),
            code: "123456".to_owned(),
        }
    }

    #[test]
    fn every_mail_has_a_subject_a_text_and_html_in_each_language() {
        let templates = templates();
        for sample in samples() {
            let [english, german] =
                Locale::ALL.map(|locale| templates.render(&sample, locale).unwrap());

            assert_ne!(english.subject, german.subject, "{sample:?}");
            for mail in [english, german] {
                assert!(!mail.subject.is_empty() && mail.text.len() > 40, "{mail:?}");
                assert!(mail.html.contains("<html lang="), "{mail:?}");
                for text in mail.text.lines().filter(|line| line.contains("bGluaw")) {
                    assert!(
                        mail.html
                            .contains(&format!("<a href=\"{text}\">{text}</a>")),
                        "{}",
                        mail.html
                    );
                }
            }
        }
    }

    #[test]
    fn a_link_and_a_code_are_paragraphs_of_their_own() {
        let mail = templates().render(&proof("ada"), Locale::English).unwrap();

        for line in ["https://auth.example.org/verify#bGluaw", "123456"] {
            assert!(
                mail.text.contains(&format!("\n\n{line}\n\n")),
                "{}",
                mail.text
            );
        }
        assert_eq!(mail.html.matches("<a href=").count(), 1, "{}", mail.html);
    }

    #[test]
    fn names_become_neither_markup_nor_links() {
        let templates = templates();
        for name in ["<b>ada</b>", "http://evil.example/", "evil.example", "a\"b"] {
            let mail = templates.render(&proof(name), Locale::English).unwrap();
            assert!(
                !mail.text.contains(name) && !mail.html.contains(name),
                "{mail:?}"
            );
        }
        let content = MailContent::PasswordChanged {
            username: "<b>&\"ada".to_owned(),
            at: Time::from_secs(1_800_000_000),
        };
        let mail = templates.render(&content, Locale::German).unwrap();
        assert!(mail.text.contains("<b>&\"ada"), "{}", mail.text);
        assert!(!mail.html.contains("<b>"), "{}", mail.html);
        assert!(mail.text.contains("2027-01-15 08:00 UTC"), "{}", mail.text);
    }

    #[test]
    fn single_templates_are_replaced_by_files_of_the_operator() {
        let folder = tempfile::TempDir::new().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let open = || Templates::open(Some(folder.path()), "auth.example.org");
        file("en/test.txt", "Subject: Ours\n\nHello from {{ service }}.");

        let mail = open().unwrap().render(&MailContent::Test, Locale::English);
        assert_eq!(mail.unwrap().text, "Hello from auth.example.org.\n");
        for (text, wanted) in [
            ("Subject: Ours\n\n{{ username }}", "en/test.txt"),
            ("Subject: Ours\n\n{% if %}", "en/test.txt"),
            (
                "Subject: Ours\n\n{% if false %}{{ usernam }}{% endif %}",
                "`usernam` in line 3",
            ),
            ("Hello", "does not begin"),
            ("Subject: two\nlines\n\nHello", "does not begin"),
        ] {
            file("en/test.txt", text);
            let error = open().unwrap_err();
            let chain = crate::error::error_chain(&error).join(": ");
            assert!(chain.contains(wanted), "{text}: {chain}");
        }
    }
}
