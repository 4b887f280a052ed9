/// The filter box: hides what does not match, and says how many are left. Without scripts everything is simply shown.
enum PageScript {
  static let javascript = """
    (function () {
      'use strict';
      var box = document.getElementById('filter-text');
      var outcome = document.getElementById('filter-outcome');
      var level = document.getElementById('filter-level');
      var left = document.getElementById('filter-left');
      if (!box) { return; }
      document.getElementById('filter').hidden = false;
      var items = Array.prototype.slice.call(document.querySelectorAll('[data-case]'));
      var texts = items.map(function (item) { return item.textContent.toLowerCase(); });
      function apply() {
        var words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
        var shown = 0;
        items.forEach(function (item, index) {
          var of = item.dataset;
          var fits = (!outcome.value || (' ' + of.outcomes + ' ').indexOf(' ' + outcome.value + ' ') >= 0) && (!level.value || of.level === level.value)
            && words.every(function (word) { return texts[index].indexOf(word) >= 0; });
          item.hidden = !fits;
          if (fits && item.closest('#cases')) { shown += 1; }
        });
        left.textContent = shown + ' ' + (shown === 1 ? 'case' : 'cases');
        document.querySelectorAll('[data-chapter-head]').forEach(function (head) {
          var rows = document.querySelectorAll('[data-chapter="' + head.dataset.chapterHead + '"]');
          head.hidden = !Array.prototype.some.call(rows, function (row) { return !row.hidden; });
        });
      }
      [box, outcome, level].forEach(function (field) { field.addEventListener('input', apply); });
      apply();
    })();
    """
}
