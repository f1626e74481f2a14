// How numbers and times are written.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

/** A count. */
export const count = (n) => whole.format(n);

/** A measure: three digits are enough. */
export const measure = (n) => (n >= 100 ? whole.format(n) : fine.format(n));

/** A part of one. */
export const percent = (part) => `${whole.format(part * 100)} %`;

/** A length of time in its two largest units. */
export function duration(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** The seconds from one time to another; times are as in JSON. */
export const between = (from, to) => (Date.parse(to) - Date.parse(from)) / 1000;

/** The time of day, here. */
export const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

/** A limit's rate as people say it. */
export const rate = (l) => `${count(l.rate)}/${{ second: "s", minute: "min", hour: "h", day: "d" }[l.per] ?? l.per}`;
