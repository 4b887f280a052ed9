import Testing

@testable import ImagePull
@testable import containerd_ref

@Suite struct ProgressBoardTests {
  private func board(_ offset: Int64 = 512 << 10) -> ProgressBoard {
    var board = ProgressBoard()
    _ = board.update(PullProgress(ref: "layer-sha256:aaaaaaaaaaaaaaaa", offset: 0, total: 1 << 20, state: .downloading), at: 0)
    _ = board.update(PullProgress(ref: "layer-sha256:aaaaaaaaaaaaaaaa", offset: offset, total: 1 << 20, state: .downloading), at: 2)
    _ = board.update(PullProgress(ref: "config-sha256:bbbbbbbbbbbbbbbb", offset: 700, total: 700, state: .exists), at: 1)
    return board
  }

  @Test func atEightyColumnsEveryBlobHasBarAmountAndSpeed() {
    #expect(
      board().lines(width: 80, height: 24, at: 2) == [
        "layer aaaaaaaaaaaa    [###########............]  512 KiB/1.0 MiB    256 KiB/s",
        "config bbbbbbbbbbbb   [#######################]  exists",
        "total                 [###########............]  513 KiB/1.0 MiB    256 KiB/s",
      ])
  }

  @Test(arguments: [200, 132, 80, 64, 60, 40, 38, 30, 20, 10, 6, 1]) func noLineIsWiderThanTheTerminal(_ width: Int) {
    var board = board()
    board.unpacked = (2, 5)
    for line in board.lines(width: width, height: 24, at: 2) { #expect(line.count <= max(5, width - 1), "\"\(line)\"") }
  }

  @Test func atFortyColumnsABarAndThePercentage() {
    #expect(board().lines(width: 40, height: 24, at: 2).first == "layer aaaaaaaaaaaa    [####.....]   50%")
  }

  @Test func moreBlobsThanLinesShowTheActiveOnesAndCountTheRest() {
    var board = ProgressBoard()
    for number in 0..<30 {
      _ = board.update(PullProgress(ref: "layer-sha256:\(number + 100)", offset: 0, total: 10, state: number == 29 ? .downloading : .done), at: 0)
    }
    let lines = board.lines(width: 80, height: 10, at: 1)
    #expect(lines.count == 10)
    #expect(lines.first?.hasPrefix("layer 129") == true)
    #expect(lines[8] == "… and 22 more")
  }

  @Test func aResumedBlobCountsItsOldBytesAsThereButNotAsSpeed() {
    var board = ProgressBoard()
    _ = board.update(PullProgress(ref: "layer-sha256:a", offset: 900 << 10, total: 1 << 20, state: .downloading), at: 0)
    _ = board.update(PullProgress(ref: "layer-sha256:a", offset: 1000 << 10, total: 1 << 20, state: .downloading), at: 1)
    #expect(board.lines(width: 80, height: 24, at: 1).first?.hasSuffix("100 KiB/s") == true)
  }

  @Test func unpackingHasALineOfItsOwn() {
    var board = board()
    board.unpacked = (1, 5)
    #expect(board.lines(width: 80, height: 24, at: 2).last?.contains("unpacking layer 2 of 5") == true)
    board.unpacked = (5, 5)
    #expect(board.lines(width: 80, height: 24, at: 2).last?.contains("unpacked 5 layers") == true)
  }
}
