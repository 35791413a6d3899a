"""Who works at Acme. The first of each role are those whose sign-ins are printed."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

DOMAIN = "acme.example"
EARLY = 80

# name | role | came … days ago | what became of them | factor | labels | time zone | phone
#   active: signs in now and then; online: is signed in; quiet: has not been here for more than a month;
#   never: accepted, and never signed in; inactive; invited: the link is open; expired: it no longer is.
_TABLE = """
Amara Okafor       | owner  | 90 | active   |   |                       | Africa/Lagos        | +2348035550101
Mei Tanaka         | admin  | 89 | active   |   | people                | Asia/Tokyo          | +81355550102
Lucas Moreau       | member | 86 | active   |   | engineering           | Europe/Paris        | +33155550103
Jonas Lindqvist    | owner  | 89 | online   | * |                       | Europe/Stockholm    | +46855550104
Priya Raman        | admin  | 89 | online   | * | people                | Asia/Kolkata        | +912255550105
Daniel Brooks      | admin  | 88 | active   | * | it                    | America/New_York    | +12125550106
Sofía Herrera      | admin  | 71 | active   |   | it                    | America/Mexico_City | +525555550107
Hannah Vogel       | member | 88 | active   | * | engineering           | Europe/Berlin       | +493055550108
Tomás Silva        | member | 88 | active   |   | engineering           | Europe/Lisbon       | +351215550109
Aisha Rahman       | member | 88 | online   | * | engineering, on-call  | Asia/Dhaka          |
Oliver Grant       | member | 87 | quiet    |   | sales                 | Europe/London       | +442075550111
Chloé Dubois       | member | 87 | active   |   | sales                 | Europe/Paris        | +33155550112
Ngozi Eze          | member | 87 | active   | * | support               | Africa/Lagos        |
Mateo Rossi        | member | 86 | inactive |   | contractor            | Europe/Rome         | +39065550114
Emily Carter       | member | 86 | active   |   | finance               | America/Chicago     | +13125550115
Yusuf Demir        | member | 85 | active   | * | engineering           | Europe/Istanbul     |
Ingrid Hansen      | member | 85 | active   |   | support               | Europe/Oslo         | +4722555117
Rafael Costa       | member | 84 | never    |   | sales                 | America/Sao_Paulo   |
Zuzana Nováková    | member | 83 | active   | * | finance               | Europe/Prague       | +420225550119
Samuel Adeyemi     | member | 82 | active   |   | engineering           | Africa/Lagos        |
Leila Haddad       | member | 81 | quiet    |   | marketing             | Asia/Beirut         | +9611555121
Victor Petrov      | member | 80 | inactive |   | contractor            | Europe/Sofia        |
Grace Kim          | member | 79 | active   | * | engineering, on-call  | Asia/Seoul          | +82255550123
Noah Williams      | member | 78 | active   |   | sales                 | America/Denver      | +13035550124
Fatima Zahra       | member | 77 | active   |   | support               | Africa/Casablanca   |
Björn Eriksson     | member | 76 | quiet    | * | engineering           | Europe/Stockholm    |
Camila Torres      | member | 75 | active   |   | marketing             | America/Bogota      | +576015550127
Henry Osei         | member | 74 | active   |   | finance               | Africa/Accra        |
Katarzyna Wilk     | member | 73 | active   | * | engineering           | Europe/Warsaw       | +48225550129
Arjun Mehta        | member | 72 | inactive |   | contractor, design    | Asia/Kolkata        |
Lena Fischer       | member | 70 | online   |   | design                | Europe/Berlin       | +493055550131
Diego Alvarez      | member | 68 | active   |   | support               | America/Lima        |
Sarah O'Brien      | member | 66 | active   | * | people                | Europe/Dublin       | +35315550133
Minh Tran          | member | 64 | active   |   | engineering           | Asia/Ho_Chi_Minh    |
Elena Popescu      | member | 62 | quiet    |   | sales                 | Europe/Bucharest    | +40215550135
Kwame Mensah       | member | 60 | active   |   | contractor            | Africa/Accra        |
Anna Kowalska      | member | 58 | active   | * | finance               | Europe/Warsaw       |
Jack Thompson      | member | 56 | inactive |   | sales                 | Australia/Sydney    | +61255550138
Nadia Aziz         | member | 54 | active   |   | marketing             | Asia/Karachi        |
Pedro Sánchez      | member | 52 | active   | * | engineering           | Europe/Madrid       | +34915550140
Julia Weber        | member | 50 | never    |   | design                | Europe/Vienna       |
Ethan Clark        | member | 47 | active   |   | support               | America/Los_Angeles | +12135550142
Marta Ferreira     | member | 44 | active   |   | engineering           | Europe/Lisbon       |
Hiroshi Sato       | member | 41 | active   | * | engineering, on-call  | Asia/Tokyo          | +81355550144
Ravi Patel         | member | 39 | quiet    |   | contractor            | Asia/Kolkata        |
Isabelle Laurent   | member | 36 | active   |   | people                | Europe/Brussels     | +3225550146
Omar Farouk        | member | 33 | active   |   | finance               | Africa/Cairo        |
Claire Bennett     | member | 30 | active   |   | sales                 | America/Toronto     | +14165550148
Ivan Horvat        | member | 27 | inactive |   | contractor            | Europe/Zagreb       |
Signe Larsen       | member | 24 | active   | * | design                | Europe/Copenhagen   | +4533555150
Thandiwe Nkosi     | member | 21 | active   |   | support               | Africa/Johannesburg |
Gabriel Müller     | member | 18 | online   |   | engineering           | Europe/Zurich       | +41445550152
Valentina Ricci    | member | 16 | active   |   | marketing             | Europe/Rome         |
Peter Nagy         | member | 15 | expired  |   | contractor            | Europe/Budapest     |
Andrea Schmidt     | member | 13 | inactive |   | contractor, marketing | Europe/Berlin       | +493055550155
Maja Jovanović     | member | 11 | expired  |   | sales                 | Europe/Belgrade     |
Ruth Goldberg      | member |  8 | active   |   | finance               | Asia/Jerusalem      | +97235550157
Felix Wagner       | member |  6 | never    |   | engineering           | Europe/Berlin       |
Esi Boateng        | member |  3 | invited  |   | support               |                     |
Simon Keller       | member |  1 | invited  |   | contractor            |                     |
"""


@dataclass(frozen=True, slots=True)
class Person:
    """One of the cast; `days` ago is when they were invited."""

    name: str
    role: str
    days: int
    fate: str
    mfa: bool
    labels: tuple[str, ...]
    timezone: str | None
    phone: str | None

    @property
    def email(self) -> str:
        return f"{self._plain('.')}@{DOMAIN}"

    @property
    def username(self) -> str | None:
        """Those who came early chose one."""
        return self._plain("") if self.days >= EARLY else None

    def _plain(self, between: str) -> str:
        letters = unicodedata.normalize("NFKD", self.name.casefold()).encode("ascii", "ignore").decode()
        return between.join("".join(filter(str.isalpha, word)) for word in letters.split())


def _read(line: str) -> Person:
    name, role, days, fate, mfa, labels, timezone, phone = (part.strip() for part in line.split("|"))
    chosen = tuple(label.strip() for label in labels.split(",") if label.strip())
    return Person(name, role, int(days), fate, mfa == "*", chosen, timezone or None, phone or None)


PEOPLE = tuple(_read(line) for line in _TABLE.strip().splitlines())
PRINTED = {person.role: person for person in reversed(PEOPLE)}
"""Role → whose sign-in is printed: the first one of that role."""
