package names

import "strings"

// pinyinTable lists, by reading, the Han characters that are common in Chinese personal names and in the names of listed organisations,
// in simplified and traditional form. A character that is missing is kept as it is and still matches itself.
const pinyinTable = `
ai:艾爱愛 an:安 ao:敖 ba:巴 bai:白柏 ban:班 bang:邦 bao:包宝寶保鲍鮑 bei:北贝貝 ben:本 bi:毕畢碧 bian:边邊 bin:斌彬宾賓滨濱 bing:冰兵炳丙 bo:波博柏伯薄 bu:卜布
cai:蔡才财財彩 can:灿燦 cang:苍蒼 cao:曹操 cen:岑 chai:柴 chan:产產 chang:常昌长長畅暢 chao:超朝潮 che:车車 chen:陈陳晨辰臣沉 cheng:成程诚誠承城澄 chi:池迟遲 chong:崇冲沖
chu:楚褚储儲初 chuan:川传傳船 chuang:创創 chun:春纯純淳 ci:慈次 cong:丛叢聪聰从從 cui:崔翠 da:大达達 dai:戴代 dan:丹单單 dang:党黨 dao:道 de:德得 deng:邓鄧登 di:迪狄地帝 dian:电電典
ding:丁定鼎 dong:东東董冬栋棟 du:杜都 duan:段端 dun:敦 e:娥 en:恩 er:尔爾二 fa:发發法 fan:范範樊凡帆 fang:方芳房放 fei:飞飛菲费費非 fen:芬 feng:冯馮峰丰豐风風凤鳳锋鋒 fu:付傅福富符芙夫
gan:甘干 gang:刚剛钢鋼岗崗 gao:高 ge:葛戈革 gen:根 geng:耿 gong:龚龔公宫宮功工 gu:顾顧谷古 guan:关關管冠 guang:光广廣 gui:桂贵貴归歸 guo:郭国國果 ha:哈 hai:海 han:韩韓汉漢寒 hang:航杭行
hao:郝浩昊豪 he:何贺賀和河鹤鶴合 hei:黑 heng:恒衡亨 hong:洪宏红紅弘鸿鴻虹 hou:侯后後厚 hu:胡虎湖沪滬护護 hua:华華花化 huai:怀懷淮 huan:欢歡环環桓 huang:黄黃皇 hui:惠慧会會辉輝回徽 huo:霍火
ji:季纪紀吉姬集济濟机機技基 jia:贾賈家嘉佳甲 jian:建健剑劍简簡坚堅 jiang:江姜蒋蔣将將疆 jiao:焦交娇嬌 jie:杰傑洁潔捷解 jin:金晋晉锦錦进進近今津 jing:京静靜敬景晶靖荆荊经經 jiu:九久 ju:巨菊居聚
juan:娟 jun:军軍俊君均钧鈞峻 kai:凯凱开開 kan:阚闞 kang:康 ke:柯科克可 kong:孔空 kuan:宽寬 kui:奎 kun:坤昆 lai:赖賴来來 lan:兰蘭岚嵐蓝藍 lang:郎 lao:老 le:乐樂 lei:雷磊 leng:冷
li:李黎力丽麗立利礼禮莉理里 lian:连連廉莲蓮联聯 liang:梁亮良 liao:廖辽遼 lie:列 lin:林琳霖临臨 ling:凌玲令灵靈岭嶺 liu:刘劉柳六流 long:龙龍隆 lou:楼樓 lu:卢盧陆陸鲁魯路露鹿吕呂 lun:伦倫 luo:罗羅洛骆駱
ma:马馬麻 mai:麦麥 man:曼满滿 mao:毛茂 mei:梅美玫 men:门門 meng:孟蒙梦夢 mi:米 miao:苗妙 min:敏民闵閔 ming:明铭銘鸣鳴 mo:莫墨 mu:穆木牧 na:娜那 nan:南男 ni:倪尼 nian:年念 nie:聂聶 ning:宁寧
niu:牛钮鈕 nong:农農 ou:欧歐 pan:潘盘盤 pang:庞龐 pei:裴培佩 peng:彭鹏鵬朋 pi:皮 ping:平萍屏 pu:蒲浦普 qi:齐齊祁琪奇启啟戚旗 qian:钱錢谦謙前千 qiang:强強 qiao:乔喬桥橋 qin:秦琴勤钦欽 qing:青清庆慶卿
qiong:琼瓊 qiu:邱丘秋裘 qu:曲屈瞿 quan:全权權泉 que:阙闕 qun:群 ran:冉然 ren:任人仁 rong:荣榮容蓉融戎 ru:茹如 ruan:阮 rui:瑞锐銳蕊 run:润潤 ruo:若 sai:赛賽 san:三 sen:森 sha:沙 shan:山单善珊
shang:尚商上 shao:邵少韶 she:佘 shen:沈申深神慎 sheng:盛生胜勝圣聖升 shi:石施史师師世士诗詩时時实實十 shou:寿壽 shu:舒书書淑树樹蜀 shuai:帅帥 shuang:双雙 shui:水 shun:顺順舜 si:司思四 song:宋松 su:苏蘇素
sui:隋随隨 sun:孙孫 suo:索 tai:太泰台臺 tan:谭譚谈談坦 tang:唐汤湯棠 tao:陶涛濤桃 teng:滕腾騰 ti:体體 tian:田天甜 tie:铁鐵 ting:廷婷庭亭 tong:童佟同通彤 tu:涂屠图圖 wa:瓦 wan:万萬婉完 wang:王汪旺望
wei:魏韦韋伟偉卫衛威薇维維为為 wen:文温溫闻聞 weng:翁 wu:吴吳武伍邬鄔五午 xi:习習席喜西希锡錫熙 xia:夏霞 xian:先贤賢鲜鮮咸仙宪憲 xiang:向项項祥翔香湘相 xiao:肖萧蕭小晓曉孝笑 xie:谢謝解 xin:辛新心欣信鑫 xing:邢星兴興
xiong:熊雄 xiu:秀修 xu:徐许許旭须須 xuan:宣轩軒萱 xue:薛雪学學 xun:荀勋勳迅 ya:亚亞雅 yan:严嚴颜顏闫閆燕艳豔岩彦彥延 yang:杨楊阳陽洋扬揚 yao:姚尧堯耀 ye:叶葉业業野 yi:易伊一怡义義毅亦艺藝益逸仪儀 yin:尹殷银銀音印
ying:英应應颖穎莹瑩影营營 yong:永勇雍咏 you:尤游友有佑 yu:于余俞虞玉宇雨育裕郁煜瑜愉 yuan:袁元原远遠媛源园園 yue:岳月悦悅跃躍 yun:云雲允芸韵韻运運 zai:在再 zang:臧藏 ze:泽澤 zeng:曾增 zha:查 zhan:詹占战戰展 zhang:张張章彰
zhao:赵趙兆照昭 zhe:哲者 zhen:甄振真珍镇鎮贞貞 zheng:郑鄭正政征 zhi:志智之芝治植直芷 zhong:钟鍾仲中忠众眾重 zhou:周洲舟 zhu:朱祝诸諸竹珠主助 zhuang:庄莊 zhuo:卓 zi:子紫资資 zong:宗 zou:邹鄒 zu:祖 zuo:左作
`

var pinyinOf = parsePinyin(pinyinTable)

func parsePinyin(text string) map[rune]string {
	out := make(map[rune]string, 1500)
	for _, field := range strings.Fields(text) {
		reading, chars, _ := strings.Cut(field, ":")
		for _, r := range chars {
			if _, taken := out[r]; !taken { // the first reading is the one of the surname
				out[r] = reading
			}
		}
	}
	return out
}

// pinyin returns the reading of a Han character without tone, or "" when the table lacks it.
func pinyin(r rune) string { return pinyinOf[r] }
