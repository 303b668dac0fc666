/* The search finds the forms of a word, and on a page in one language only pages of that language.
   The theme looks for words that begin with what is typed, so each word is cut to its stem before it is looked for.
   In Russian е also finds ё, and words like «не» and «на» are left out. A word of the title counts 40 times, not the theme's
   1000, so that a section with all words comes before a page with one of them in its title. The theme's worker gets the pages in a message of type 0, and each query in one of type 2. */
(() => {
  const russian = document.documentElement.lang === "ru";
  const plain = (text) => (text || "").replace(/ё/g, "е").replace(/Ё/g, "Е");
  /* lunr takes a star in a word for a wildcard, and a query that meets such a word fails. */
  const safe = (text) => (russian ? plain(text) : text || "").replace(/\*/g, "∗");
  const endings = {
    russian: ("иями ями ами иях иям ием ией ого его ому ему ыми ими ться тся ешь ете ите ает яет ают яют ала яла или ыли ать ять " +
      "еть ить уть ах ях ам ям ом ем ой ей ый ий ые ие ая яя ое ее ую юю ых их ым им ию ия ии ов ев ет ит ут ют ат ят ал ял ил " +
      "ла ло ли а я о е и ы у ю ь й").split(" "),
    english: "ations ation ing ies ied ed es s".split(" "),
  };
  const small = new Set(("a an and any are as at be but by can could did do does find for from get give happens had has have how i if in into " +
    "is it its make may me my no not of on or our out s so that the then there these this to up use was we what when where which who " +
    "why will with would you your " +
    "без бы был быть в вам во вы где да для до его ее если есть за и из или их к как какой когда ко кто ли мне мой мочь можно мы на над не " +
    "но о об от по под при про с сделать со так там то у узнать уже что чтобы это я").split(" "));
  const stem = (word) => {
    if (/^\d/.test(word)) return `${word}^1`;  // a number is looked for as it is: lunr confuses words that begin with one
    const of = /^[а-я]+$/i.test(word) ? endings.russian : /^[a-z]+$/i.test(word) ? endings.english : [];
    const ending = of.find((each) => word.toLowerCase().endsWith(each) && word.length - each.length >= 4);
    return ending ? word.slice(0, -ending.length) : word;
  };
  const changed = (message) => {
    if (message?.type === 0 && message.data?.docs) {
      const docs = message.data.docs.filter((each) => each.location.startsWith("ru/") === russian);
      const read = docs.map((each) => ({...each, title: safe(each.title), text: safe(each.text)}));
      const {config} = message.data;
      const fields = {...config.fields, title: {boost: 40}};
      return {...message, data: {...message.data, config: {...config, fields}, docs: read}};
    }
    if (message?.type === 2 && typeof message.data === "string") {
      const words = plain(message.data).split(/[\s,:;!?()[\]{}"'`«»<>=*+~^|/\\-]+|\.(?!\w)/).filter((each) => each);
      const telling = words.filter((each) => !small.has(each.toLowerCase()) && (each.length > 1 || /\d/.test(each))).slice(0, 24);
      return {...message, data: (telling.length ? telling : words).map(stem).join(" ")};
    }
    return message;
  };
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, ...rest) { return post.call(this, changed(message), ...rest); };
})();
