#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The portal of level full: a page that says what was seen, what to do, and lets the subscriber release itself; and
the captive portal API (RFC 8908). A CGI program: the address that asks is the address that is told about.

Environment, given by the web server: ENFORCERCTL, ENFORCER_SOCKET, PORTAL_PHONE, PORTAL_NAME."""
import html
import json
import os
import subprocess
import sys
import urllib.parse

CTL = os.environ.get("ENFORCERCTL", "enforcerctl")
PHONE = os.environ.get("PORTAL_PHONE", "0800 000 000")
NAME = os.environ.get("PORTAL_NAME", "Your internet provider")

WORDS = {
    "en": {
        "title": "Your internet connection is limited",
        "free": "Your internet connection is not limited",
        "free_text": "Nothing is blocked. If you have just pressed the button: thank you, and please do clean the device. "
                     "You can close this page.",
        "why": "What we saw",
        "since": "Since", "until": "It ends by itself", "address": "Your address",
        "never": "when we have talked to you",
        "connection_rate": "A device in your home opened {count} connections to mail servers within a short time. People "
                           "do not send mail like that; programs that send spam do.",
        "distinct_destinations": "A device in your home contacted {count} different mail servers within a short time. "
                                 "People do not send mail like that; programs that send spam do.",
        "trap": "A device in your home contacted an address to which nobody sends honest mail.",
        "sequential": "A device in your home sends mail as programs that send spam do ({count} observations).",
        "unrequested_replies": "Mail servers answer to your address although it did not ask them. Somebody sends spam "
                               "in your name.",
        "meter": "A device in your home opened so many connections to mail servers that our routers stopped it.",
        "provider": "Our staff has limited your connection.",
        "other": "A device in your home behaves like a program that sends spam.",
        "todo": "What to do",
        "steps": ["Most often a virus does this, and nobody notices. It can be a computer, a phone, a camera or a router.",
                  "Switch off, or take off your network, what you do not need.",
                  "Update the others, and let a virus scanner look at them. The pages for updates work from here.",
                  "Change the password of your mail, from a device that is clean."],
        "works": "Emergency calls, updates and this page work. The rest of the internet is closed until then.",
        "smtp": "Only sending mail to other mail servers is closed. Everything else works.",
        "throttle": "Only sending mail to other mail servers is slowed down. Everything else works.",
        "button": "I have done this: open my connection",
        "left": "You can do this {left} more time(s) in {per}.",
        "call": "Please call us: {phone}",
        "call_text": "You cannot open the connection yourself any more. We will help you to find the device.",
        "off_text": "We open your connection together with you.",
        "failed": "That did not work. Please call us: {phone}",
    },
    "fr": {
        "title": "Votre connexion internet est limitée",
        "free": "Votre connexion internet n’est pas limitée",
        "free_text": "Rien n’est bloqué. Si vous venez d’appuyer sur le bouton : merci, et nettoyez bien l’appareil. "
                     "Vous pouvez fermer cette page.",
        "why": "Ce que nous avons vu",
        "since": "Depuis", "until": "Cela se termine tout seul", "address": "Votre adresse",
        "never": "quand nous vous aurons parlé",
        "connection_rate": "Un appareil chez vous a ouvert {count} connexions vers des serveurs de courriel en peu de "
                           "temps. Une personne n’écrit pas ainsi ; un programme qui envoie du spam, oui.",
        "distinct_destinations": "Un appareil chez vous a contacté {count} serveurs de courriel différents en peu de "
                                 "temps. Une personne n’écrit pas ainsi ; un programme qui envoie du spam, oui.",
        "trap": "Un appareil chez vous a contacté une adresse à laquelle personne n’envoie de courriel honnête.",
        "sequential": "Un appareil chez vous envoie du courriel comme le font les programmes de spam ({count} "
                      "observations).",
        "unrequested_replies": "Des serveurs de courriel répondent à votre adresse sans avoir été contactés. Quelqu’un "
                               "envoie du spam en votre nom.",
        "meter": "Un appareil chez vous a ouvert tant de connexions vers des serveurs de courriel que nos routeurs "
                 "l’ont arrêté.",
        "provider": "Notre équipe a limité votre connexion.",
        "other": "Un appareil chez vous se comporte comme un programme qui envoie du spam.",
        "todo": "Que faire",
        "steps": ["Le plus souvent c’est un virus, et personne ne le remarque. Cela peut être un ordinateur, un téléphone, "
                  "une caméra ou un routeur.",
                  "Éteignez ou débranchez ce dont vous n’avez pas besoin.",
                  "Mettez à jour les autres appareils et faites-les examiner par un antivirus. Les pages de mise à jour "
                  "marchent d’ici.",
                  "Changez le mot de passe de votre courriel, depuis un appareil sain."],
        "works": "Les appels d’urgence, les mises à jour et cette page marchent. Le reste d’internet est fermé "
                 "jusque-là.",
        "smtp": "Seul l’envoi de courriel vers d’autres serveurs est fermé. Tout le reste marche.",
        "throttle": "Seul l’envoi de courriel vers d’autres serveurs est ralenti. Tout le reste marche.",
        "button": "C’est fait : ouvrez ma connexion",
        "left": "Vous pouvez le faire encore {left} fois en {per}.",
        "call": "Appelez-nous, s’il vous plaît : {phone}",
        "call_text": "Vous ne pouvez plus ouvrir la connexion vous-même. Nous vous aiderons à trouver l’appareil.",
        "off_text": "Nous ouvrons votre connexion avec vous.",
        "failed": "Cela n’a pas marché. Appelez-nous, s’il vous plaît : {phone}",
    },
}

STYLE = ("body{font:1.1em/1.5 sans-serif;max-width:40em;margin:2em auto;padding:0 1em;color:#222}"
         "h1{font-size:1.5em}h2{font-size:1.15em;margin-top:1.5em}dt{font-weight:bold}"
         "button{font-size:1.1em;padding:.6em 1em}.call{font-weight:bold}")


def ask(*options):
    """(done, result) of enforcerctl for the address that asks."""
    address = os.environ.get("REMOTE_ADDR", "").removeprefix("::ffff:")
    done = subprocess.run([CTL, "--json", "portal", *options, "--", address], capture_output=True, text=True,
                          timeout=20, check=False)
    return done.returncode == 0, json.loads(done.stdout) if done.returncode == 0 else {}


def language():
    query = urllib.parse.parse_qs(os.environ.get("QUERY_STRING", ""))
    asked = query.get("lang", [""])[0] or os.environ.get("HTTP_ACCEPT_LANGUAGE", "")
    for word in asked.lower().split(","):
        if word.strip()[:2] in WORDS:
            return word.strip()[:2]
    return "en"


def answer(body, kind="text/html; charset=utf-8", status="200 OK"):
    sys.stdout.buffer.write((f"Status: {status}\r\nContent-Type: {kind}\r\nCache-Control: no-store\r\n"
                             "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; "
                             "form-action 'self'; frame-ancestors 'none'\r\n\r\n" + body).encode())


def api():
    """RFC 8908: only its own members; what was seen is nobody's business but the page's."""
    done, known = ask()
    if not done:
        answer("{}", "application/captive+json", "503 Service Unavailable")
        return
    known.pop("enforcer", None)
    answer(json.dumps(known), "application/captive+json")


def moment(text):
    return html.escape(text.replace("T", " ").split(".")[0].rstrip("Z") + " UTC")


def release_part(w, own):
    if own["allowed"]:
        return (f'<form method="post" action="release"><button id="release">{w["button"]}</button></form>'
                f'<p>{w["left"].format(left=own["left"], per=html.escape(own["per"]))}</p>')
    text = w["call_text"] if own.get("why_not") == "used-up" else w["off_text"]
    return f'<p class="call" id="call">{w["call"].format(phone=html.escape(PHONE))}</p><p>{text}</p>'


def page(lang, note=""):
    w = WORDS[lang]
    done, known = ask()
    if not done:
        return f"<h1>{w['failed'].format(phone=html.escape(PHONE))}</h1>"
    own, entry = known["enforcer"]["self_release"], known["enforcer"]["quarantine"]
    if not entry:
        return f'<h1 id="free">{w["free"]}</h1><p>{w["free_text"]}</p>'
    seen = entry.get("seen") or {}
    cause = "trap" if seen.get("cause") == "traps" else seen.get("cause", "other")
    saw = w.get(cause, w["other"]) if cause in ("connection_rate", "distinct_destinations", "trap", "sequential",
                                                "unrequested_replies", "meter", "provider") else w["other"]
    until = moment(entry["until"]) if entry["until"] else w["never"]
    limits = w["works"] if known["captive"] else w.get(entry["level"], w["works"])
    return (f'<h1 id="limited">{w["title"]}</h1>{note}<p>{limits}</p><h2>{w["why"]}</h2>'
            f'<p>{saw.format(count=int(seen.get("count") or 0))}</p><dl>'
            f'<dt>{w["address"]}</dt><dd>{html.escape(known["enforcer"]["subscriber"])}</dd>'
            f'<dt>{w["since"]}</dt><dd>{moment(entry["since"])}</dd><dt>{w["until"]}</dt><dd>{until}</dd></dl>'
            f'<h2>{w["todo"]}</h2><ol>{"".join(f"<li>{step}</li>" for step in w["steps"])}</ol>'
            f'{release_part(w, own)}')


def whole(lang, body):
    other = {"en": '<a href="?lang=fr" lang="fr">Français</a>', "fr": '<a href="?lang=en" lang="en">English</a>'}[lang]
    return (f'<!DOCTYPE html><html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width"><title>{html.escape(NAME)}</title><style>{STYLE}</style></head><body>'
            f'<p>{html.escape(NAME)} · {other}</p>{body}</body></html>')


def same_site():
    """The button was pressed on our own page: another site must not use up somebody's releases."""
    origin = os.environ.get("HTTP_ORIGIN", "")
    return urllib.parse.urlsplit(origin).netloc == os.environ.get("HTTP_HOST", "") and origin != ""


def main():
    path = os.environ.get("DOCUMENT_URI", "/")
    lang = language()
    if path == "/api":
        api()
    elif path == "/release" and os.environ.get("REQUEST_METHOD") == "POST" and same_site():
        done, _ = ask("--release")
        note = "" if done else f'<p class="call">{WORDS[lang]["failed"].format(phone=html.escape(PHONE))}</p>'
        answer(whole(lang, page(lang, note)))
    elif path == "/":
        answer(whole(lang, page(lang)))
    else:
        answer("", status="302 Found\r\nLocation: /")


main()
