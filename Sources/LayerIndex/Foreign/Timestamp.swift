/// RFC 3339, as Go writes times: `2006-01-02T15:04:05.999999999Z`, or with an offset such as `+02:00`.
struct Timestamp {
  var seconds: Int64
  var nanoseconds: Int32

  init?(_ text: some Sequence<UInt8>) {
    let text = Array(text)
    func number(_ range: Range<Int>) -> Int64? {
      if range.upperBound > text.count { return nil }
      var value: Int64 = 0
      for digit in text[range] {
        guard (0x30...0x39).contains(digit) else { return nil }
        value = value * 10 + Int64(digit - 0x30)
      }
      return value
    }
    func has(_ character: Unicode.Scalar, at place: Int) -> Bool { place < text.count && text[place] == UInt8(ascii: character) }
    guard let year = number(0..<4), has("-", at: 4), let month = number(5..<7), has("-", at: 7), let day = number(8..<10), has("T", at: 10),
      let hour = number(11..<13), has(":", at: 13), let minute = number(14..<16), has(":", at: 16), let second = number(17..<19),
      (1...12).contains(month), (1...31).contains(day), hour < 24, minute < 60, second < 61
    else { return nil }
    var place = 19
    var fraction: Int64 = 0
    if has(".", at: place) {
      var end = place + 1
      while end < text.count, (0x30...0x39).contains(text[end]) { end += 1 }
      guard (1...9).contains(end - place - 1), let digits = number(place + 1..<end) else { return nil }
      fraction = (end - place - 1..<9).reduce(digits) { value, _ in value * 10 }
      place = end
    }
    var offset: Int64 = 0
    if !has("Z", at: place) {
      guard has("+", at: place) || has("-", at: place), let hours = number(place + 1..<place + 3), has(":", at: place + 3),
        let minutes = number(place + 4..<place + 6)
      else { return nil }
      offset = (hours * 60 + minutes) * (has("-", at: place) ? -60 : 60)
      place += 5
    }
    if place + 1 != text.count { return nil }
    seconds = Self.days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset
    nanoseconds = Int32(fraction)
  }

  /// From 1970 on, by the Gregorian calendar: years are counted from March, so that the odd day is the last one.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let year = month > 2 ? year : year - 1
    let century = (year >= 0 ? year : year - 399) / 400
    let yearOfCentury = year - century * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    return century * 146_097 + yearOfCentury * 365 + yearOfCentury / 4 - yearOfCentury / 100 + dayOfYear - 719_468
  }
}
